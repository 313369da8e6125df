import { ProvisionerError } from '../../base/errors.js';

/** What is said to whoever launches in a container that somebody else is at. */

export function endedMeanwhile(containerId: string): ProvisionerError {
  return new ProvisionerError('ERR_START_FAILED', `container ${containerId} was ended before its program ran`, {
    hint: 'somebody has stopped or destroyed it meanwhile',
    details: { containerId },
  });
}

export function changedMeanwhile(containerId: string): ProvisionerError {
  return new ProvisionerError(
    'ERR_CONTAINER_RUNNING',
    `container ${containerId} has been started or destroyed by somebody else meanwhile`,
    { hint: '`provisioner ps` shows what has become of it', details: { containerId } },
  );
}

export function wentOnMeanwhile(containerId: string): ProvisionerError {
  return new ProvisionerError(
    'ERR_CONTAINER_RUNNING',
    `somebody has let container ${containerId} go on, or ended it, while it was copied`,
    { hint: 'what it wrote then may be half in the copy, which was given up: fork it again', details: { containerId } },
  );
}

export function containerExists(containerId: string): ProvisionerError {
  return new ProvisionerError('ERR_CONTAINER_EXISTS', `there is a container ${containerId} already`, {
    hint: `choose another id, or remove that one: \`provisioner destroy ${containerId}\``,
    details: { containerId },
  });
}
