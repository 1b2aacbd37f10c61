// Characters that a text names, as HTML does. Markdown has them too. Source: HTML standard, 13.5.

/** Those that people and models write; the standard has two thousand more. */
const NAMED = {
  __proto__: null, // no name is one of an object's own
  amp: "&", apos: "'", bull: "•", cent: "¢", copy: "©", deg: "°", divide: "÷", euro: "€", frac12: "½", ge: "≥", gt: ">", harr: "↔",
  hellip: "…", infin: "∞", laquo: "«", larr: "←", ldquo: "“", le: "≤", lsquo: "‘", lt: "<", mdash: "—", micro: "µ", middot: "·",
  minus: "−", nbsp: "\u00a0", ndash: "–", ne: "≠", para: "¶", plusmn: "±", pound: "£", quot: '"', raquo: "»", rarr: "→", rdquo: "”",
  reg: "®", rsquo: "’", sect: "§", times: "×", trade: "™", yen: "¥",
};
const ENTITY = /&(?:#(\d{1,7})|#x([\da-f]{1,6})|([a-z]\w{1,7}));/gi;

/** The text with its entities decoded. A name that is not known stays. */
export function decodeEntities(text) {
  if (!text.includes("&")) return text;
  return text.replace(ENTITY, (whole, decimal, hexadecimal, name) => {
    if (name) return NAMED[name] ?? whole;
    const code = decimal ? Number(decimal) : Number.parseInt(hexadecimal, 16);
    return code > 0 && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff) ? String.fromCodePoint(code) : whole;
  });
}
