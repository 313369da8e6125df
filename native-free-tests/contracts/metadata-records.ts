import { createHash } from 'node:crypto';
import { vi } from 'vitest';
import type { LayerRecord, MetadataManager, NewImage, NewRootfs } from '#src/metadata/metadata-manager.js';

/** Records that look like real ones, told apart by a word, and the processes and the clock they are made with. */

export function digestOf(word: string): string {
  return `sha256:${createHash('sha256').update(word).digest('hex')}`;
}

export function layer(word: string, changes: Partial<LayerRecord> = {}): LayerRecord {
  return {
    id: digestOf(word),
    bytes: 4096,
    entries: 3,
    opaqueRoot: false,
    whiteouts: false,
    describesRoot: false,
    tar: 'kept',
    tarBytes: 64,
    ...changes,
  };
}

export function image(word: string, layers: readonly string[], changes: Partial<NewImage> = {}): NewImage {
  return {
    id: digestOf(`image ${word}`),
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    manifest: `{"manifest of":"${word}"}`,
    configDigest: digestOf(`config ${word}`),
    config: `{"config of":"${word}"}`,
    platform: 'linux/amd64',
    layers: layers.map(digestOf),
    source: `docker://registry.example/${word}:latest`,
    ...changes,
  };
}

export function rootfs(id: string, containerId: string, changes: Partial<NewRootfs> = {}): NewRootfs {
  return { id, containerId, owner: 'agent', image: digestOf('image app'), backend: 'overlay', ...changes };
}

export async function putLayers(manager: MetadataManager, ...words: string[]): Promise<void> {
  for (const word of words) await manager.putLayers([layer(word)]);
}

/** What a contract needs of a test: the manager under test, empty when the test begins. */
export interface MetadataContractContext {
  readonly manager: MetadataManager;
  /** Whether a text may go on after a NUL. */
  readonly readsNul: boolean;
}

/** The processes of the contract. The dead one held claims once. */
export const ours = '100:1:boot';
export const theirs = '200:2:boot';
export const dead = '300:3:boot';

export function isAlive(process: string): boolean {
  return process !== dead;
}

/** Stops the clock that records are stamped with. */
export function setClock(milliseconds: number): void {
  vi.spyOn(Date, 'now').mockReturnValue(milliseconds);
}
