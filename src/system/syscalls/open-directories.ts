import { closeSync, constants, openSync } from 'node:fs';

const O_PATH = 0o10000000;
const O_CLOEXEC = 0o2000000;
/** The kernel copies at most so many bytes of one option's value, the NUL included. */
const OPTION_VALUE_MAX = 256;

/** Directories that go by their descriptor until a mount holds them itself. Close them. */
export class OpenDirectories {
  readonly #descriptors: number[] = [];

  /** The path itself where an option takes it as it is, so that `mount` and `findmnt` show it; else a short one. */
  optionValue(path: string): string {
    return Buffer.byteLength(path) < OPTION_VALUE_MAX && !/[\\:,]/.test(path) ? path : this.short(path);
  }

  short(path: string): string {
    const descriptor = openSync(path, constants.O_DIRECTORY | O_PATH | O_CLOEXEC);
    this.#descriptors.push(descriptor);
    return `/proc/self/fd/${descriptor}`;
  }

  close(): void {
    for (const descriptor of this.#descriptors) closeSync(descriptor);
  }
}
