import { ProvisionerError } from '../base/errors.js';

/** @param owner whose the container is @param actor who would change it */
export function containerForeign(containerId: string, owner: string, actor: string): ProvisionerError {
  return new ProvisionerError(
    'ERR_CONTAINER_FOREIGN',
    `container ${containerId} belongs to ${owner}, and this is ${actor}`,
    {
      hint: `act as its owner (--owner ${owner}), or say that it is meant (--any-owner)`,
      details: { containerId, owner },
    },
  );
}

/** @param isProvisioned there is a root filesystem of that id */
export function notLaunched(containerId: string, isProvisioned: boolean): ProvisionerError {
  const message = isProvisioned
    ? `nothing has been launched in container ${containerId}: there is a root filesystem alone`
    : `there is no container ${containerId}`;
  return new ProvisionerError('ERR_CONTAINER_NOT_FOUND', message, {
    hint: isProvisioned
      ? '`provisioner run` and `create` make a container of their own; destroy this one first to have its id'
      : '`provisioner ps` lists the containers',
    details: { containerId },
  });
}
