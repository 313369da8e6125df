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
