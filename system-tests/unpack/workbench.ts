import { lstatSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { nodePath, toBytePath } from '#src/system/syscalls/byte-path.js';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import { type Layers, type Unpacked, type UnpackOptions, useLayers } from '../../native-free-tests/helpers/layers.js';
import { snapshotTree, type TreeEntry } from '../helpers/tree-snapshot.js';

/** Layers unpacked as root unpacks them into its store, with everything applied. */
export function useRootedLayers(): Layers & { apply(tar: Uint8Array, options?: UnpackOptions): Promise<Applied> } {
  const layers = useLayers(tmpdir());
  const asRoot = (options?: UnpackOptions): UnpackOptions => ({
    syscalls: loadSyscalls(),
    format: 'trusted',
    privileged: true,
    ...options,
  });
  return {
    get path() {
      return layers.path;
    },
    get outside() {
      return layers.outside;
    },
    unpack: (tar, options) => layers.unpack(tar, asRoot(options)),
    refusal: (tar, options) => layers.refusal(tar, asRoot(options)),
    async apply(tar, options) {
      const unpacked = await layers.unpack(tar, asRoot(options));
      return { ...unpacked, at: entriesByPath(unpacked.rootfs) };
    },
  };
}

export interface Applied extends Unpacked {
  /** All that is known of an entry. @param path one character per byte; the root is `.` @throws when there is none */
  readonly at: (path: string) => TreeEntry;
}

function entriesByPath(rootfs: string): (path: string) => TreeEntry {
  const entries = new Map(snapshotTree(rootfs).map((entry) => [entry.path, entry]));
  return (path) => {
    const entry = entries.get(path);
    if (entry === undefined) throw new Error(`there is no ${path}, only ${[...entries.keys()].join(' ')}`);
    return entry;
  };
}

/** @param path one character per byte, below `rootfs` */
export function statusOf(rootfs: string, path: string): ReturnType<typeof lstatBig> {
  return lstatBig(`${toBytePath(rootfs)}/${path}`);
}

const lstatBig = (path: string) => lstatSync(nodePath(path), { bigint: true });

/** `name=hex`, as snapshots show an attribute. */
export function shown(name: string, value: string | Uint8Array): string {
  return `${name}=${Buffer.from(value).toString('hex')}`;
}
