// The points that a reply names, in the dialects of Molmo (percent) and Molmo 2 (thousandths).

const TAG = /<points? ([^<>]{1,100000})>([^<>]{0,10000})<\/points?>/g;
const OPEN = /<(?:p(?:o(?:i(?:n(?:t(?:s?(?: [^<>]*(?:>[^<>]*(?:<(?:\/(?:p[a-z]{0,5})?)?)?)?)?)?)?)?)?)?)?$/;
const MOLMO1 = /([xy])(\d{0,6})="\s*(\d{1,4}(?:\.\d{1,8})?)\s*"/g;
const COORDS = /coords\s?=\s?"([^"<>]*)/;
const COORDINATE = /^\d{3,4}$/;

function ofMolmo1(attributes) {
  const axes = {x: new Map(), y: new Map()};
  for (const [, axis, index, number] of attributes.matchAll(MOLMO1)) {
    if (!axes[axis].has(index)) axes[axis].set(index, Number(number));
  }
  return [...axes.x].filter(([index]) => axes.y.has(index)).map(([index, x]) => [x / 100, axes.y.get(index) / 100]);
}

function ofMolmo2(coordinates) {
  const found = [];
  for (const group of coordinates.split(/[\t;]/)) {
    const pieces = group.split(/\s+/).filter((piece) => piece).slice(1);
    for (let at = 0; at + 2 < pieces.length; at += 3) {
      const [, x, y] = pieces.slice(at, at + 3);
      if (COORDINATE.test(x) && COORDINATE.test(y)) found.push([x / 1000, y / 1000]);
    }
  }
  return found;
}

function pointsOf(attributes) {
  const coords = COORDS.exec(attributes);
  const found = coords ? ofMolmo2(coords[1]) : ofMolmo1(attributes);
  return found.filter(([x, y]) => x <= 1 && y <= 1);
}

const plain = (text) => text
  .replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&quot;/g, '"').replace(/&#x27;/g, "'").replace(/&amp;/g, "&");

// Pieces of a reply in order: {text}, or {label, points: [[x, y]...] in fractions of width and height}. `writing` says
// that the reply still grows: a tag that is not closed yet is a piece with the points that it has so far.
export function piecesOf(reply, writing = false) {
  const found = [];
  let at = 0;
  for (const match of reply.matchAll(TAG)) {
    if (match.index > at) found.push({text: reply.slice(at, match.index)});
    found.push({label: plain(match[2]), points: pointsOf(match[1])});
    at = match.index + match[0].length;
  }
  let rest = reply.slice(at);
  const open = writing ? OPEN.exec(rest) : null;
  if (open) rest = rest.slice(0, open.index);
  if (rest) found.push({text: rest});
  if (open) {
    const label = />([^<>]*)/.exec(open[0]);
    found.push({label: label ? plain(label[1]) : "…", points: pointsOf(open[0].replace(/>.*/s, ""))});
  }
  return found;
}
