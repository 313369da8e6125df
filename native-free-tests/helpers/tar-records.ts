import { existsSync, mkdirSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { DEFAULT_UNPACK_LIMITS } from '#src/base/config.js';
import { rebuildTar } from '#src/files/tar-record/rebuild-tar.js';
import { layerRootfs, layerTar } from '#src/paths.js';
import { loadTreeCalls } from '#src/system/syscalls/load-tree-calls.js';
import { NativeFreeSyscalls } from '#src/system/syscalls/native-free/native-free-syscalls.js';
import type { TreeCalls } from '#src/system/syscalls/tree-calls.js';
import { type UnpackedLayer, unpackStoredBytes } from '#src/unpack/unpack-layer.js';
import { sha256 } from './image-builder.js';
import { useLayers } from './layers.js';
import { inPieces } from './pieces.js';
import { header, padded } from './raw-tar.js';

const syscalls = new NativeFreeSyscalls();
export const treeCalls: TreeCalls = loadTreeCalls(syscalls);

export interface RecordedLayer extends UnpackedLayer {
  readonly directory: string;
  readonly rootfs: string;
  /** Its tar record's file. */
  readonly record: string;
}

export interface RecordedLayers {
  /** A directory of the test's own. Files in `outside` below it must stay as they are: see `useLayers`. */
  readonly path: string;
  /** @param pieceSize bytes that the reader gets at a time. Default: all */
  unpack(tar: Buffer, pieceSize?: number, signal?: AbortSignal): Promise<RecordedLayer>;
  /** The layer that it becomes, with a record of which exactly the same archive is made again. */
  unpackAndRebuild(tar: Buffer, pieceSize?: number): Promise<RecordedLayer>;
}

/** For tests of tar records: call it in the describe's body. */
export function useRecordedLayers(): RecordedLayers {
  const layers = useLayers();
  let count = 0;

  const unpack: RecordedLayers['unpack'] = async (
    tar,
    pieceSize = tar.length,
    signal = new AbortController().signal,
  ) => {
    const directory = join(layers.path, `recorded-${count++}`);
    mkdirSync(directory);
    const target = {
      digest: undefined,
      diffId: sha256(tar),
      directory,
      format: 'plain',
      privileged: false,
      limits: { ...DEFAULT_UNPACK_LIMITS, freeSpaceReserve: 0 },
      keepTar: true,
    } as const;
    const context = { syscalls, signal, progress: () => {}, hasSpareProcessor: () => true };
    const result = await unpackStoredBytes(inPieces(tar, pieceSize), target, context);
    return { ...result, directory, rootfs: layerRootfs(directory), record: layerTar(directory) };
  };

  return {
    get path() {
      return layers.path;
    },
    unpack,
    async unpackAndRebuild(tar, pieceSize) {
      const layer = await unpack(tar, pieceSize);
      expect(layer.tar).toBe('kept');
      expectSame(rebuilt(layer.directory), tar);
      return layer;
    },
  };
}

/** The archive that a layer's record and files make. */
export function rebuilt(directory: string): Buffer {
  return Buffer.concat([...rebuildTar(directory, treeCalls, 'given')]);
}

/** As `toEqual`, without all the bytes in the message. */
export function expectSame(found: Buffer, expected: Buffer): void {
  if (found.equals(expected)) return;
  const end = Math.min(found.length, expected.length);
  let at = 0;
  while (at < end && found[at] === expected[at]) at++;
  throw new Error(`${found.length} bytes, not ${expected.length}; those at ${at} differ`);
}

/** What this process has open below a directory. */
export function openBelow(directory: string): string[] {
  const descriptors = '/proc/self/fd';
  if (!existsSync(descriptors)) return [];
  const targets = readdirSync(descriptors).map((descriptor) => {
    try {
      return readlinkSync(join(descriptors, descriptor));
    } catch {
      // That of the listing itself.
      return '';
    }
  });
  return targets.filter((target) => target.startsWith(directory));
}

/** A file's entry whose last block is filled with a byte of the writer's choice. */
export function entryFilledWith(filler: number, fields: Parameters<typeof header>[0], content: Buffer): Buffer {
  const filled = padded(content).fill(filler, content.length);
  return Buffer.concat([header({ size: content.length, ...fields }), filled]);
}
