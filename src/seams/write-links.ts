import type { BytePath } from '../system/syscalls/byte-path.js';
import { nameOf, parentOf } from '../unpack/entry-path.js';
import type { LinkedFile } from './collect-links.js';
import type { SeamWriter } from './seam-writer.js';
import type { StackView } from './stack-view.js';

interface SeveralNames {
  readonly file: LinkedFile;
  readonly paths: BytePath[];
}

/**
 * Writes each file once, under all its names: those of the links, and its own where the stack still shows it there.
 * @param ownNames those that its own layer has for a file, as far as the stack shows them
 */
export function writeLinks(
  links: ReadonlyMap<BytePath, LinkedFile>,
  whole: StackView,
  writer: SeamWriter,
  ownNames: (file: LinkedFile) => readonly BytePath[],
): void {
  const files = new Map<string, SeveralNames>();
  for (const [path, file] of links) {
    const key = `${file.layer}:${file.status.identity}`;
    const names = files.get(key) ?? { file, paths: ownNames(file).filter((name) => !links.has(name)) };
    names.paths.push(path);
    files.set(key, names);
  }
  for (const { file, paths } of files.values()) {
    const [first, ...others] = paths;
    if (first === undefined) continue;
    whole.inDirectory(parentOf(file.path), file.layer, (directory) => {
      writer.copy(directory, nameOf(file.path), file.status, file.layer, first);
    });
    for (const other of others) writer.link(first, other);
  }
}
