import { statSync } from 'node:fs';
import { readForeignText } from '../base/foreign-file.js';
import { isWritableByOthers } from '../base/walk-way.js';
import { isTrusted, trustedWay } from '../system/syscalls/trusted-way.js';

/** Reads a file that says what root is to do, such as the programs that it names: so nobody else may have had a hand in it. @throws Error that says what is wrong with it; like Node's `fs` */
export async function readTrustedText(path: string): Promise<string> {
  const found = trustedWay(path, {
    foreign: (where) => new Error(`it lies ${where}, which is somebody else's`),
    writable: (directory) => new Error(`others can write to ${directory}`),
    dangling: (_link, missing) => new Error(`${missing} is not there`),
  });
  const status = statSync(found);
  if (!isTrusted(status.uid)) throw new Error('it is somebody else’s');
  if (isWritableByOthers(status)) throw new Error('others can write to it');
  return readForeignText(found);
}
