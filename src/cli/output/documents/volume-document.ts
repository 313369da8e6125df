import type { VolumeInfo } from '../../../index.js';
import { timestamp } from './image-document.js';

/** A volume of `volume ls` and `volume create` in `--json`; `docs/cli.md` promises this shape, and those below. */
export function volumeDocument({ name, owner, mountpoint, createdAt, labels, containers, state }: VolumeInfo) {
  return { name, owner, mountpoint, createdAt: timestamp(createdAt), labels, containers, state };
}

/** All about one. @param bytes what it takes on disk */
export function inspectedVolume(volume: VolumeInfo, bytes: number) {
  return { ...volumeDocument(volume), bytes };
}

/** One that `volume rm` removed. */
export function removedVolume(name: string) {
  return { name };
}
