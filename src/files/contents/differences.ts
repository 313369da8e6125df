import { systemCode } from '../../base/errors.js';

/** One way in which a layer is not what it was. */
export interface LayerDifference {
  /** Below the layer's directory, in printable characters: `rootfs/etc/passwd`; empty for the directory itself. */
  readonly path: string;
  readonly what: LayerAspect;
  readonly expected: string;
  readonly found: string;
}

export type LayerAspect =
  | 'missing'
  | 'extra'
  | 'type'
  | 'mode'
  | 'owner'
  | 'modified'
  | 'size'
  | 'content'
  | 'target'
  | 'device'
  | 'links'
  | 'xattr'
  /** Something below could not be read: a broken disk, most likely. */
  | 'unreadable'
  /** The number of entries, where a quick check knows no more. */
  | 'entries'
  /** The record itself: then nothing is known about the files. */
  | 'record';

/** Enough to see what happened; a layer can have two million. */
const KEPT = 100;

/** What the system answers for a damaged disk or file system; all else is no statement about the layer. */
const DAMAGE = new Set([
  'EIO',
  'EUCLEAN',
  'EBADMSG',
  'EILSEQ',
  'ENXIO',
  'ENODATA',
  'ELOOP',
  'ENOTDIR',
  'ENOENT',
  'ESTALE',
  'EACCES',
  'EPERM',
]);

export class Differences {
  readonly #kept: LayerDifference[] = [];
  #count = 0;

  add(difference: LayerDifference): void {
    this.#count++;
    if (this.#kept.length < KEPT) this.#kept.push(difference);
  }

  /** Something could not be read. @throws the error, when it says nothing about the layer */
  addFailure(path: string, error: unknown): void {
    const code = systemCode(error);
    if (code === undefined || !DAMAGE.has(code)) throw error;
    this.add({ path, what: 'unreadable', expected: 'readable', found: code });
  }

  result(): { readonly differences: readonly LayerDifference[]; readonly count: number } {
    return { differences: this.#kept, count: this.#count };
  }
}
