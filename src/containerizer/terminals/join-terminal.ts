import { closeSync, constants, openSync } from 'node:fs';
import { ProvisionerError, systemCode } from '../../base/errors.js';
import type { LaunchRecord } from '../../index.js';
import { writePipe } from '../../system/processes/pipe-streams.js';
import { notRunning } from '../launches/controls.js';
import type { LaunchDirectory } from '../launches/kept/launch-directory.js';
import { readSpecNote } from '../launches/kept/launch-notes.js';
import { openTerminal } from './open-terminal.js';
import type { OpenTerminal } from './terminal.js';

/** It waits for nobody: the monitor has them open for as long as the program runs. */
const TO_WRITE = constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW;

/**
 * Sits down at the terminal of a container's program, beside whoever sits there.
 * @throws ProvisionerError `ERR_NO_TERMINAL`, `ERR_CONTAINER_NOT_RUNNING`
 */
export function joinTerminal(launch: LaunchRecord, { typed, sizes }: LaunchDirectory): OpenTerminal {
  const { containerId } = launch;
  if (readSpecNote(launch.spec).terminal !== true) {
    throw new ProvisionerError('ERR_NO_TERMINAL', `the program of container ${containerId} has no terminal`, {
      hint: `\`provisioner logs -f ${containerId}\` follows what it prints, \`provisioner exec -it ${containerId} sh\` has a terminal of its own; a new container has one by \`run -t\``,
      details: { containerId },
    });
  }
  // Its monitor may be there for a moment more.
  if (launch.state === 'exited') throw notRunning(launch);
  let first: number | undefined;
  try {
    first = openSync(typed, TO_WRITE);
    return openTerminal(writePipe(first), writePipe(openSync(sizes, TO_WRITE)));
  } catch (error) {
    if (first !== undefined) closeSync(first);
    if (systemCode(error) === 'ENXIO' || systemCode(error) === 'ENOENT') throw notRunning(launch);
    throw error;
  }
}
