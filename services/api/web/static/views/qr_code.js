// A QR code, drawn here: nobody else is told what it says.

import { svg } from "../dom.js";
import { encode } from "../vendor/uqr.js";

/** Modules of light around a code, by which readers find it (ISO/IEC 18004). */
const QUIET_ZONE = 4;

/** The picture of a text. `label` is what a screen reader says. */
export function qrCode(text, label) {
  const { data, size } = encode(text, { ecc: "M", border: QUIET_ZONE });
  const dark = data.flatMap((row, y) => row.map((isDark, x) => (isDark ? `M${x} ${y}h1v1h-1z` : ""))).join("");
  return svg("svg", { class: "qr-code", viewBox: `0 0 ${size} ${size}`, role: "img", "aria-label": label, "shape-rendering": "crispEdges" }, svg("path", { d: dark }));
}
