import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';
import { RootfsView } from '#src/containerizer/bundle/rootfs/rootfs-view.js';
import { NativeFreeTreeCalls } from '#src/system/syscalls/native-free/native-free-tree-calls.js';

/** A text is a file's content; `{ link }` a symlink, `{ pipe: true }` a named pipe, `{}` a directory. */
export type Tree = Readonly<Record<string, string | { readonly link?: string; readonly pipe?: true }>>;

export const calls = new NativeFreeTreeCalls();

export interface TestRootfs {
  /** Where it is; `outside` lies beside it, with a file in it. */
  readonly directory: string;
  readonly outside: string;
  readonly view: RootfsView;
}

/** Is gone after the test. `OUTSIDE` in a link is the path of a directory that no root filesystem may lead to. */
export function rootfsOf(tree: Tree): TestRootfs {
  // A way to a place below /dev is not followed in a root filesystem either.
  const base = tmpdir().startsWith('/dev/') ? '/var/tmp' : tmpdir();
  const place = mkdtempSync(join(base, 'provisioner-rootfs-'));
  const directory = join(place, 'root');
  const outside = join(place, 'outside');
  mkdirSync(directory);
  mkdirSync(outside);
  writeFileSync(join(outside, 'passwd'), 'spy:x:7:7::/:\n');
  for (const [path, what] of Object.entries(tree)) {
    const full = join(directory, path);
    mkdirSync(dirname(full), { recursive: true });
    if (typeof what === 'string') writeFileSync(full, what);
    else if (what.link !== undefined) symlinkSync(what.link.replace('OUTSIDE', outside), full);
    else if (what.pipe) execFileSync('mkfifo', [full]);
    else mkdirSync(full, { recursive: true });
  }
  const view = new RootfsView(calls, directory);
  onTestFinished(() => {
    view.close();
    rmSync(place, { recursive: true, force: true });
  });
  return { directory, outside, view };
}
