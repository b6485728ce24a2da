// Raw bytes as people read them.
const WIDTH = 8;

/** Base64 as bytes; null stays null. */
export const decode = (base64) => (base64 === null ? null : Uint8Array.from(atob(base64), (char) => char.charCodeAt(0)));

/** Bytes as text, or null where they are no UTF-8. */
export function textOf(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

/** Bytes as text whatever they are; those that are no UTF-8 as \xff. */
export function escaped(bytes) {
  const whole = textOf(bytes);
  if (whole !== null) return whole;
  return [...bytes].map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : byte === 0x0a ? "\n" : `\\x${hex(byte)}`)).join("");
}

/** The usual dump: offset, eight bytes to a line, and what of them is printable ASCII; at most so many bytes. */
export function dump(bytes, most = 4_096) {
  const lines = [];
  for (let at = 0; at < Math.min(bytes.length, most); at += WIDTH) {
    const row = [...bytes.slice(at, Math.min(at + WIDTH, most))];
    const text = row.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "·")).join("");
    lines.push(`${at.toString(16).padStart(6, "0")}  ${row.map(hex).join(" ").padEnd(23)}  ${text}`);
  }
  if (bytes.length > most) lines.push(`… and ${(bytes.length - most).toLocaleString("en")} more bytes`);
  return lines.join("\n");
}

const hex = (byte) => byte.toString(16).padStart(2, "0");
