import { ProvisionerError } from '../../../base/errors.js';
import type { LaunchRecord } from '../../../index.js';
import { type ProcessState, printStates, processStates } from '../../cgroups/process-states.js';
import { eventNote } from '../../events/container-event.js';
import type { Machine } from '../../machine.js';
import { attendantsOf } from '../../processes/attendants.js';

/**
 * Records that a launch was killed and has not ended.
 * @param living what of it does not die; none when somebody is at it who does not tell its end
 * @returns `ERR_CONTAINER_UNDEAD`
 */
export async function recordUndead(
  { provisioner }: Machine,
  { id, containerId }: LaunchRecord,
  living: readonly ProcessState[],
): Promise<ProvisionerError> {
  const states = printStates(living.length > 0 ? living : processStates(attendantsOf(id)));
  await provisioner.launches.change(id, {
    from: ['starting', 'created', 'running', 'paused'],
    to: 'undead',
    event: eventNote('undead', { processes: states }),
  });
  const message =
    living.length > 0
      ? `container ${containerId} was killed, and something of it does not die: ${states}`
      : `container ${containerId} was killed, and nothing of it lives; but whoever holds it does not tell its end: ${states}`;
  return new ProvisionerError('ERR_CONTAINER_UNDEAD', message, {
    hint:
      living.length > 0
        ? 'in state `D` a process waits for a device or a file system; when it has gone on, recover'
        : 'in state `T` or `t` a process has been stopped: let it go on, or kill it; then recover',
    details: { containerId, processes: states },
  });
}
