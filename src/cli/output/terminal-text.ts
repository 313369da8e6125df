/**
 * Everything that can move a cursor, break a line or reorder what is read: control characters (escape sequences begin with one, and the
 * C1 range has one-byte forms of them), format characters (bidirectional overrides, invisible letters), line separators, and halves of
 * surrogate pairs.
 */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** Text that may come from an image, fit for one line of a terminal: what is unsafe shows as `\x1b` or `\u202e`. */
export function terminalText(text: string): string {
  return text.replace(UNSAFE, escapeCharacter);
}

/** As `terminalText`, for text of several lines. */
export function terminalLines(text: string): string {
  return text.split('\n').map(terminalText).join('\n');
}

/** JSON text in which the unsafe characters that JSON itself lets pass are written as escapes; it parses to the same value. */
export function terminalJson(json: string): string {
  // Outside of strings, JSON has no such character but the line feeds of its layout.
  return json.replace(UNSAFE, (character) => (character === '\n' ? character : escapeForJson(character)));
}

function escapeCharacter(character: string): string {
  if (character === '\n') return '\\n';
  if (character === '\t') return '\\t';
  if (character === '\r') return '\\r';
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, '0')}`;
  return code < 0x10000 ? `\\u${code.toString(16).padStart(4, '0')}` : `\\u{${code.toString(16)}}`;
}

function escapeForJson(character: string): string {
  let escaped = '';
  for (let index = 0; index < character.length; index += 1) {
    escaped += `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`;
  }
  return escaped;
}
