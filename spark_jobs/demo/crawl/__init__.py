"""Crawls for the demo and for tests: a real one of this machine's documentation, and one of faulty files.

`write_crawl` writes WARC files of pages found on the machine; `write_faults` writes one WARC file for each
fault that a reader has to survive.
"""

from spark_jobs.demo.crawl.faults import Fault, write_faults
from spark_jobs.demo.crawl.parts import CrawlFile
from spark_jobs.demo.crawl.writer import CrawlReport, CrawlSize, write_crawl

__all__ = ["CrawlFile", "CrawlReport", "CrawlSize", "Fault", "write_crawl", "write_faults"]
