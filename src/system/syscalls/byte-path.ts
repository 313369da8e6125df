/**
 * A path or name as the kernel has it: bytes, which need not be UTF-8. It is written as a string with one character
 * (U+0000 to U+00FF) for each byte, Node's `latin1` encoding, so that names compare, split and index maps as strings do and no byte is
 * lost. Only this folder turns one into what a system call takes.
 */
export type BytePath = string & { readonly bytePath?: never };

// biome-ignore lint/suspicious/noControlCharactersInRegex: the question is whether every byte is ASCII, NUL included.
const NOT_ASCII = /[^\x00-\x7f]/;

/** A path of this program's own (UTF-8 in the end) as bytes. */
export function toBytePath(path: string): BytePath {
  return NOT_ASCII.test(path) ? Buffer.from(path, 'utf8').toString('latin1') : path;
}

/** As the text that documents have for it. Bytes that are no UTF-8 are replaced, so that two paths may become one. */
export function fromBytePath(path: BytePath): string {
  return NOT_ASCII.test(path) ? Buffer.from(path, 'latin1').toString('utf8') : path;
}

/** What Node's `fs` takes for the path: a string where that means the same bytes, which is cheaper. */
export function nodePath(path: BytePath): string | Buffer {
  return NOT_ASCII.test(path) ? Buffer.from(path, 'latin1') : path;
}

/** What a C function takes for the path: as `nodePath`, but a buffer ends with NUL. */
export function cPath(path: BytePath): string | Buffer {
  return NOT_ASCII.test(path) ? Buffer.from(`${path}\0`, 'latin1') : path;
}

/** For messages: UTF-8 where it is that, else with the odd bytes as `\xNN`; control characters too, so that a terminal is safe. */
export function printablePath(path: BytePath): string {
  const utf8 = Buffer.from(path, 'latin1').toString('utf8');
  const text = utf8.includes('\ufffd') ? path.replace(/[^ -~]/g, escapeByte) : utf8;
  const safe = text.replace(/\p{Cc}/gu, escapeByte);
  return safe.length > 200 ? `${safe.slice(0, 120)}…${safe.slice(-60)}` : safe;
}

function escapeByte(character: string): string {
  return `\\x${(character.codePointAt(0) ?? 0).toString(16).padStart(2, '0')}`;
}
