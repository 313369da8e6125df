import { UsageError } from '../usage-error.js';

/** As Docker and podman have them. */
export const DETACH_KEYS = 'ctrl-p,ctrl-q';

/** @param text keys with commas between them: a character, or `ctrl-` and a letter or one of `@[\]^_`; empty for none @returns the bytes that a terminal sends @throws UsageError */
export function parseDetachKeys(text: string): number[] {
  if (text === '') return [];
  return text.split(',').map((key) => {
    const [, control] = /^ctrl-([a-z@[\\\]^_])$/i.exec(key) ?? [];
    if (control !== undefined) return control.toUpperCase().charCodeAt(0) - 0x40;
    if (/^[\x20-\x7e]$/.test(key)) return key.charCodeAt(0);
    throw new UsageError(
      `--detach-keys: ${JSON.stringify(key)} is no key`,
      `write single characters and ctrl-LETTER, with commas between them, such as ${DETACH_KEYS}; or '' for none`,
    );
  });
}

/** Finds the keys that end a sitting in what is typed. */
export class DetachKeys {
  readonly #keys: readonly number[];
  /** So many of them have been typed, and are held back. */
  #typed = 0;

  constructor(keys: readonly number[]) {
    this.#keys = keys;
  }

  /** @returns what is meant for the program, and whether it was left then; the rest is for nobody */
  take(chunk: Buffer): { readonly bytes: Buffer; readonly isLeft: boolean } {
    if (this.#keys.length === 0) return { bytes: chunk, isLeft: false };
    const bytes: number[] = [];
    for (const byte of chunk) {
      // What was held back was meant for the program; the key itself may be the first of the next try.
      while (this.#typed > 0 && byte !== this.#keys[this.#typed]) bytes.push(...this.#giveUpFirst());
      if (byte !== this.#keys[this.#typed]) bytes.push(byte);
      else if (++this.#typed === this.#keys.length) {
        this.#typed = 0;
        return { bytes: Buffer.from(bytes), isLeft: true };
      }
    }
    return { bytes: Buffer.from(bytes), isLeft: false };
  }

  /** The longest end of what was typed that may still become the keys is held back further. */
  #giveUpFirst(): number[] {
    const held = this.#keys.slice(0, this.#typed);
    for (let from = 1; from <= held.length; from++) {
      const rest = held.slice(from);
      if (!rest.every((key, index) => key === this.#keys[index])) continue;
      this.#typed = rest.length;
      return held.slice(0, from);
    }
    return held;
  }
}
