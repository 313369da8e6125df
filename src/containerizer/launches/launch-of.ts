import type { LaunchRecord } from '../../index.js';
import type { Launch } from '../containerizer.js';
import { readExitNote, readPlaceNote, readSpecNote } from './kept/launch-notes.js';

/** What a record says of a launch. One that has ended since is told as it was: `Containerizer.list` looks. @throws SyntaxError for a record that this release did not write */
export function launchOf(launch: LaunchRecord): Launch {
  const { imageName, labels, relaxed, terminal = false } = readSpecNote(launch.spec);
  const place = readPlaceNote(launch.place);
  const exit = readExitNote(launch.exit);
  return {
    containerId: launch.containerId,
    launchId: launch.id,
    owner: launch.owner,
    state: launch.state,
    image: place?.image,
    imageName,
    command: place?.command ?? [],
    pid: launch.state === 'exited' ? undefined : place?.pid,
    createdAt: launch.createdAt,
    startedAt: launch.startedAt,
    labels,
    relaxed,
    hasTerminal: terminal,
    network: launch.state === 'exited' ? undefined : place?.network,
    leased: launch.state === 'exited' ? undefined : place?.leased,
    diskLimit: place?.diskLimit,
    exit,
  };
}
