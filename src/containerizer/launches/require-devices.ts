import { findDevices } from '../devices/find-devices.js';
import { readSpec } from './kept/kept-spec.js';
import type { LaunchDirectory } from './kept/launch-directory.js';

/**
 * Before what runs is stopped to be started again: what is missing then would be missed only when it has been stopped.
 * @throws ProvisionerError as `findDevices`; `ERR_START_FAILED` where nobody knows any more what it is to run
 */
export async function requireDevices(directory: LaunchDirectory, containerId: string): Promise<void> {
  await findDevices(readSpec(directory, containerId).options);
}
