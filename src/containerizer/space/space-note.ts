import { renameSync } from 'node:fs';
import { writeOwnFile } from '../../base/own-files.js';
import type { DiskLimit } from '../isolators/isolator.js';
import type { LaunchDirectory } from '../launches/kept/launch-directory.js';
import { readOrEmpty } from '../read-or-empty.js';

/** What is kept of the limit of disk space of a container, from launch to launch. How many bytes it is stands in what it was told. */
export interface SpaceNote {
  readonly by: DiskLimit['by'];
  /** Bytes that were there before its program first ran: of a copy, and of volumes that were filled. */
  readonly base: number;
}

/** @returns undefined where there is no limit */
export function readSpaceNote({ space }: LaunchDirectory): SpaceNote | undefined {
  const text = readOrEmpty(space);
  return text === '' ? undefined : (JSON.parse(text) as SpaceNote);
}

/** The launch before may have the same file, and keeps it. */
export function writeSpaceNote({ space }: LaunchDirectory, note: SpaceNote): void {
  const draft = `${space}.${process.pid}`;
  writeOwnFile(draft, JSON.stringify(note));
  renameSync(draft, space);
}
