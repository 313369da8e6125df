import { chmodSync, mkdirSync, readdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** What is at a path of a layer: a file's content, a symlink (`-> target`), a directory (`/`), or one of the two marks. */
export type Content = string;
export const GONE = 'gone';
export const OPAQUE = 'opaque';

/** Writes a layer with plain whiteouts. Parents come by themselves. */
export function writeLayer(root: string, entries: Readonly<Record<string, Content>>): string {
  mkdirSync(root, { recursive: true });
  for (const [path, content] of Object.entries(entries)) {
    const at = join(root, path);
    mkdirSync(dirname(at), { recursive: true });
    if (content === '/') mkdirSync(at, { recursive: true });
    else if (content === GONE) writeFileSync(join(dirname(at), `.wh.${path.split('/').at(-1)}`), '');
    else if (content === OPAQUE) {
      mkdirSync(at, { recursive: true });
      writeFileSync(join(at, '.wh..wh..opq'), '');
    } else if (content.startsWith('-> ')) symlinkSync(content.slice(3), at);
    else {
      writeFileSync(at, content);
      chmodSync(at, 0o640);
    }
  }
  return root;
}

/** What is in a tree, in the words of `writeLayer`, sorted by path. Node's own recursive listing would follow symlinks. */
export function readTree(root: string): Record<string, Content> {
  const found: Record<string, Content> = {};
  const read = (directory: string): void => {
    for (const entry of readdirSync(join(root, directory), { withFileTypes: true })) {
      const path = directory === '' ? entry.name : `${directory}/${entry.name}`;
      const at = join(root, path);
      if (entry.isDirectory()) {
        found[path] = '/';
        read(path);
      } else found[path] = entry.isSymbolicLink() ? `-> ${readlinkSync(at)}` : readFileSync(at, 'utf8');
    }
  };
  read('');
  return Object.fromEntries(Object.entries(found).sort());
}
