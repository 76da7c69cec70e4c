"""The frame around a page: header, navigation, breadcrumb, side bar and footer, in three house styles."""

from __future__ import annotations

from bisect import bisect_left
from datetime import timedelta
from html import escape

from spark_jobs.demo.crawl.pages import Page, Site, seeded
from spark_jobs.demo.crawl.warc import FIRST_VISIT

STYLES = ("manual", "portal", "classic")
SIDEBAR_LINKS = 24


def framed(page: Page, site: Site, body: str, *, aside: str = "") -> bytes:
    """The whole HTML page, UTF-8: `body` inside the frame of the site's style.

    Args:
        page: what is shown; its title, language, version and visit appear in the frame.
        site: the host's name, version and other pages.
        body: HTML of the article, headings included.
        aside: HTML of a box beside the article, if any.
    """
    style = STYLES[seeded(0, "style", site.host) % len(STYLES)]
    frame = {"manual": _manual, "portal": _portal, "classic": _classic}[style]
    html = frame(page, site, body, aside)
    return html.encode("utf-8", "replace")


def crumbs(page: Page, site: Site) -> list[tuple[str, str]]:
    """(label, path) from the site's front page down to the page's folder."""
    folders = [part for part in page.path.split("?")[0].split("/")[1:-1] if part]
    trail = [(site.name, "/")]
    trail += [(label, "/" + "/".join(folders[: depth + 1]) + "/") for depth, label in enumerate(folders)]
    return trail


def neighbours(page: Page, site: Site, count: int = SIDEBAR_LINKS) -> list[tuple[str, str]]:
    """The pages before and after this one in reading order: (title, path)."""
    paths = [path for _, path in site.pages]
    here = bisect_left(paths, page.path)
    start = max(0, min(here - count // 2, len(paths) - count))
    return list(site.pages[start : start + count])


def _links(pairs: list[tuple[str, str]]) -> str:
    return "\n".join(f'<li><a href="{escape(path)}">{escape(label, quote=False)}</a></li>' for label, path in pairs)


def _head(page: Page, site: Site) -> str:
    title = f"{page.title} — {site.name} {page.version or site.version}".strip()
    return (
        f'<!DOCTYPE html>\n<html lang="{page.lang.replace("_", "-")}">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(title, quote=False)}</title>\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="canonical" href="https://{site.host}{escape(page.path.split("?")[0])}">\n'
        '<link rel="stylesheet" href="/static/site.css">\n'
        '<script>window.dataLayer = window.dataLayer || []; document.documentElement.className = "js";</script>\n'
        "</head>\n"
    )


def _edition(page: Page, site: Site) -> str:
    return escape(page.version or site.version, quote=False)


def session_token(page: Page) -> str:
    """What a server writes into a page on every visit; two visits of one page differ in it only."""
    return f"{seeded(0, 'session', page.url):016x}"


def _updated(page: Page, site: Site) -> str:
    days = 30 + seeded(0, "updated", site.host, page.version) % 700
    return (FIRST_VISIT - timedelta(days=days)).date().isoformat()


def _manual(page: Page, site: Site, body: str, aside: str) -> str:
    name = escape(site.name, quote=False)
    near = neighbours(page, site)
    previous, following = (near[0], near[-1]) if near else (("Home", "/"), ("Home", "/"))
    trail = " &raquo; ".join(
        f'<a href="{escape(path)}">{escape(label, quote=False)}</a>' for label, path in crumbs(page, site)
    )
    return (
        f"{_head(page, site)}<body>\n"
        '<div class="related" role="navigation" aria-label="related navigation">\n<h3>Navigation</h3>\n<ul>\n'
        '<li><a href="/genindex.html" title="General Index" accesskey="I">index</a></li>\n'
        '<li><a href="/py-modindex.html" title="Module Index">modules</a> |</li>\n'
        f'<li><a href="{escape(following[1])}" accesskey="N">next</a> |</li>\n'
        f'<li><a href="{escape(previous[1])}" accesskey="P">previous</a> |</li>\n'
        f"<li>{trail}</li>\n</ul>\n</div>\n"
        f'<div class="document"><div class="documentwrapper"><div class="body" role="main">\n{body}\n</div></div>\n'
        '<div class="sidebar" role="navigation" aria-label="main navigation">\n<h3>Table of Contents</h3>\n<ul>\n'
        f"{_links(near)}\n</ul>\n{aside}<h3>This Page</h3>\n<ul><li><a rel='nofollow'"
        f' href="/_sources{escape(page.path.split("?")[0])}.txt">Show Source</a></li></ul>\n'
        '<div id="searchbox"><h3>Quick search</h3><form action="/search.html"><input name="q">'
        '<input type="submit" value="Go"></form></div>\n</div></div>\n'
        f'<div class="footer" role="contentinfo">&copy; Copyright the {name} developers. '
        f"Version {_edition(page, site)}. Last updated on {_updated(page, site)}.</div>\n"
        f"<!-- request {session_token(page)} -->\n</body>\n</html>\n"
    )


def _portal(page: Page, site: Site, body: str, aside: str) -> str:
    name = escape(site.name, quote=False)
    trail, near = _links(crumbs(page, site)), _links(neighbours(page, site))
    return (
        f"{_head(page, site)}<body>\n"
        '<a class="skip" href="#content">Skip to main content</a>\n'
        f'<header class="top"><a class="logo" href="/">{name}</a>\n<nav><ul>\n'
        '<li><a href="/docs/">Documentation</a></li><li><a href="/download/">Download</a></li>'
        '<li><a href="/community/">Community</a></li><li><a href="/blog/">Blog</a></li>'
        '<li><a href="/login?next=/">Sign in</a></li>\n</ul></nav>\n'
        f'<select aria-label="Version"><option>{_edition(page, site)}</option><option>latest</option></select>\n'
        "</header>\n"
        '<div class="cookie-banner" role="dialog">We use cookies to remember your preferences and to measure '
        "how this site is used. <button>Accept all</button> <button>Only necessary</button></div>\n"
        f'<nav class="breadcrumb" aria-label="Breadcrumb"><ol>\n{trail}\n</ol></nav>\n'
        f'<aside class="sidebar"><h2>In this section</h2><ul>\n{near}\n</ul>\n{aside}</aside>\n'
        f'<main id="content"><article>\n{body}\n</article>\n'
        '<div class="feedback">Was this page helpful? <button>Yes</button> <button>No</button></div>\n</main>\n'
        f'<footer><ul><li><a href="/about/">About</a></li><li><a href="/privacy/">Privacy policy</a></li>'
        f'<li><a href="/terms/">Terms of use</a></li></ul>\n<p>&copy; {name} contributors. All rights reserved. '
        f"Page generated {_updated(page, site)}.</p></footer>\n"
        f'<script>var session = "{session_token(page)}";</script>\n</body>\n</html>\n'
    )


def _classic(page: Page, site: Site, body: str, aside: str) -> str:
    name = escape(site.name, quote=False)
    links = " | ".join(
        f'<a href="{escape(path)}">{escape(label, quote=False)}</a>' for label, path in neighbours(page, site, 10)
    )
    trail = " &gt; ".join(escape(label, quote=False) for label, _ in crumbs(page, site))
    return (
        f'{_head(page, site)}<body bgcolor="#ffffff">\n'
        '<table width="100%" border="0" cellpadding="4"><tr><td colspan="2" bgcolor="#dddddd">\n'
        f"<b>{name}</b> {_edition(page, site)} &nbsp; [<a href='/'>Home</a>] [<a href='/toc.html'>Contents</a>] "
        "[<a href='/search.html'>Search</a>] [<a href='/contact.html'>Contact</a>]</td></tr>\n"
        f'<tr><td colspan="2"><small>You are here: {trail}</small></td></tr>\n'
        f'<tr><td valign="top" width="20%">{aside}<small>{links}</small></td>\n<td valign="top">\n{body}\n</td></tr>\n'
        f'<tr><td colspan="2" bgcolor="#dddddd"><small>This page belongs to {name}. Copying and distribution are '
        f"permitted under the terms of its licence. Last modified: {_updated(page, site)}. "
        f"Visit {session_token(page)}.</small></td></tr></table>\n</body>\n</html>\n"
    )
