import type { LaunchSpec } from '../launch-spec.js';
import { type DeviceEdits, NO_DEVICES } from './device-edits.js';
import { hostDevices } from './host-devices.js';

/**
 * Looks up the devices that a launch asks for, as they are now.
 * @throws ProvisionerError `ERR_DEVICE_NOT_FOUND`, `ERR_DEVICE_UNSUPPORTED`, `ERR_CDI_FILE`, `ERR_BAD_OPTION`, `ERR_ABORTED`
 */
export async function findDevices(
  { devices = [], cdiDevices = [] }: Pick<LaunchSpec, 'devices' | 'cdiDevices'>,
  signal?: AbortSignal,
): Promise<DeviceEdits> {
  if (devices.length === 0 && cdiDevices.length === 0) return NO_DEVICES;
  const nodes = await hostDevices(devices, signal);
  if (cdiDevices.length === 0) return { ...NO_DEVICES, nodes };
  // Loaded here: few launches ask for any, and the files may be YAML.
  const { cdiEdits } = await import('./cdi/cdi-edits.js');
  const edits = await cdiEdits(cdiDevices);
  // Of two at one place the one of the CDI file counts: it says more than a path.
  const named = new Set(edits.nodes.map(({ path }) => path));
  return { ...edits, nodes: [...nodes.filter(({ path }) => !named.has(path)), ...edits.nodes] };
}
