import { describe, expect, it } from 'vitest';
import { DETACH_KEYS, DetachKeys, parseDetachKeys } from '#src/cli/terminal/detach-keys.js';

/** What comes of what is typed, piece by piece. */
function typed(keys: string, ...pieces: string[]): { program: string; isLeft: boolean } {
  const detach = new DetachKeys(parseDetachKeys(keys));
  let program = '';
  for (const piece of pieces) {
    const { bytes, isLeft } = detach.take(Buffer.from(piece, 'latin1'));
    program += bytes.toString('latin1');
    if (isLeft) return { program, isLeft };
  }
  return { program, isLeft: false };
}

describe('keys that leave a terminal', () => {
  it.each([
    ['ctrl-p,ctrl-q', [16, 17]],
    ['a', [97]],
    ['ctrl-A,B,@', [1, 66, 64]],
    ['ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_', [0, 27, 28, 29, 30, 31]],
    ['', []],
  ])('are named as Docker names them: %s', (text, bytes) => {
    expect(parseDetachKeys(text)).toEqual(bytes);
  });

  it.each(['ctrl-', 'ctrl-1', 'ctrl-pq', 'ab', 'a,', ',', 'alt-x', 'é', 'a,,b'])(
    'that are none are wrong usage: %s',
    (text) => {
      expect(() => parseDetachKeys(text)).toThrow(/is no key/);
    },
  );

  it('leave it when they come, and nothing of them reaches the program', () => {
    expect(typed(DETACH_KEYS, 'ls\x10\x11rest')).toEqual({ program: 'ls', isLeft: true });
    expect(typed(DETACH_KEYS, 'ls\x10', '\x11')).toEqual({ program: 'ls', isLeft: true });
  });

  it('are the program’s where they do not come together', () => {
    expect(typed(DETACH_KEYS, '\x10', 'x\x11')).toEqual({ program: '\x10x\x11', isLeft: false });
    expect(typed(DETACH_KEYS, '\x10\x10\x11')).toEqual({ program: '\x10', isLeft: true });
    expect(typed('', '\x10\x11')).toEqual({ program: '\x10\x11', isLeft: false });
  });

  it('are found wherever they begin in what is typed', () => {
    for (const keys of ['a', 'a,a,b', 'a,b,a,c', 'a,b,a,b,c', 'b,b']) {
      const word = keys.replaceAll(',', '');
      // All texts of these letters up to a length: each is left at the first place where the keys stand.
      for (let number = 0; number < 4 ** 7; number += 3) {
        const text = number
          .toString(4)
          .padStart(7, '0')
          .replace(/./g, (digit) => 'abcd'[Number(digit)] as string);
        const at = text.indexOf(word);
        const left = typed(keys, ...text);
        if (at >= 0) expect(left, `${keys} in ${text}`).toEqual({ program: text.slice(0, at), isLeft: true });
        else expect(text.startsWith(left.program) && !left.isLeft, `${keys} in ${text}`).toBe(true);
      }
    }
  });
});
