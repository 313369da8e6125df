import { basename } from 'node:path';
import { layerRootfs } from '../../paths.js';
import { type BytePath, toBytePath } from '../../system/syscalls/byte-path.js';
import { syscallError } from '../../system/syscalls/syscalls.js';
import { DIRECTORY, REGULAR_FILE, type TreeCalls } from '../../system/syscalls/tree-calls.js';
import { OwnedDescent } from '../contents/owned-descent.js';

/** The files of a layer, opened in the order of its archive: most are in the directory of the one before, so the way there is walked once. */
export class PayloadFiles {
  readonly #descent: OwnedDescent;
  /** Names of the directories that have been entered, the layer's root first. */
  readonly #way: BytePath[] = [];
  /** The path of the last one. */
  #directory: BytePath | undefined;

  /** @param layerDirectory absolute */
  constructor(calls: TreeCalls, layerDirectory: string) {
    this.#descent = new OwnedDescent(calls, layerDirectory);
    try {
      this.#enter(toBytePath(basename(layerRootfs(layerDirectory))));
    } catch (error) {
      this.#descent.close();
      throw error;
    }
  }

  /**
   * Opens what should be a file. That it is one is not looked at, which would take a fifth of the time: see `isFile`.
   * @param path below the layer's root; no symlink is followed @throws `ENOENT`, `ENOTDIR` or `ELOOP` where it does not lead to a file
   */
  open(path: BytePath): number {
    const cut = path.lastIndexOf('/');
    this.#goTo(cut < 0 ? '' : path.slice(0, cut));
    const name = path.slice(cut + 1);
    requireName(name);
    return this.#descent.openFile(name);
  }

  /** Whether what `open` was called with last is a file. */
  isFile(path: BytePath): boolean {
    return this.#descent.directory.usage(path.slice(path.lastIndexOf('/') + 1)).type === REGULAR_FILE;
  }

  closeFile(descriptor: number): void {
    this.#descent.closeFile(descriptor);
  }

  close(): void {
    this.#descent.close();
  }

  #goTo(directory: BytePath): void {
    if (directory === this.#directory) return;
    this.#directory = undefined;
    const names = directory === '' ? [] : directory.split('/');
    let shared = 0;
    while (shared < names.length && names[shared] === this.#way[shared + 1]) shared++;
    while (this.#way.length > shared + 1) {
      this.#descent.leave();
      this.#way.pop();
    }
    for (const name of names.slice(shared)) this.#enter(name);
    this.#directory = directory;
  }

  #enter(name: BytePath): void {
    requireName(name);
    const status = this.#descent.directory.status(name);
    if (status.type !== DIRECTORY) throw syscallError('ENOTDIR', 'open', name);
    this.#descent.enter(name, status);
    this.#way.push(name);
  }
}

/** A record with the right checksum has no others. */
function requireName(name: BytePath): void {
  if (name === '' || name === '.' || name === '..' || name.includes('\0')) throw syscallError('ENOENT', 'open', name);
}
