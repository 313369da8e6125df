import { isProvisionerError, ProvisionerError } from '../base/errors.js';
import { readStoredConfig, runtimeConfig } from '../image/image-config.js';
import { loadTreeCalls } from '../system/syscalls/load-tree-calls.js';
import { capabilitySets } from './bundle/capabilities.js';
import { configText } from './bundle/config-text.js';
import { planBundle } from './bundle/make-bundle.js';
import { checkLimits } from './cgroups/limits/check-limits.js';
import { readMachineFacts } from './cgroups/limits/machine-facts.js';
import { containerForeign } from './container-errors.js';
import type { SpecOptions } from './containerizer.js';
import { type LaunchRoot, rootOf } from './launches/kept/launch-root.js';
import type { Machine } from './machine.js';
import type { JoinedNetwork } from './networks/network.js';
import { namespaceOfOthers } from './networks/network-isolator.js';
import { networkModeOf } from './networks/network-mode.js';
import { findInit } from './runtime/find-runtime.js';
import { plainSeccomp } from './seccomp/prepare-seccomp.js';
import { findVolumes } from './volumes/find-volumes.js';

/** The files of a host network that a container finds in place of its image's: they live as long as the machine. */
const HOST_FILES = { hosts: '/etc/hosts', resolvConf: '/etc/resolv.conf', areShared: true };

/**
 * A container as somebody else may run it with another tool: provisions it where it is not, and tells what its `config.json` is to say. Nothing of it is recorded or watched: that is for
 * whoever runs it.
 * @returns the text of the file
 * @throws ProvisionerError as `Containerizer.spec`
 * @see OCI runtime-spec, bundle.md
 */
export async function specForOthers(
  machine: Machine,
  containerId: string,
  image: string,
  options: SpecOptions,
): Promise<string> {
  const { hierarchies, syscalls, facts } = machine;
  const { provision: _, signal, ...spec } = options;
  if (Object.keys(spec.secrets ?? {}).length > 0) {
    throw new ProvisionerError('ERR_BAD_OPTION', 'secrets are kept nowhere, and so in no bundle', {
      hint: 'mount a file of your own',
    });
  }
  const joined = joinedFor(spec);
  if (spec.leases !== undefined) {
    throw new ProvisionerError(
      'ERR_BAD_OPTION',
      'nothing is leased to what another tool runs: nobody here sees its end',
      {
        hint: 'name the devices and processors that it is to have',
      },
    );
  }
  if (spec.limits?.diskBytes !== undefined) {
    throw new ProvisionerError('ERR_BAD_OPTION', 'no bundle can say how much disk space a container may take', {
      hint: 'have the other tool, or the file system, keep the limit',
    });
  }
  const machineFacts = readMachineFacts(hierarchies);
  checkLimits(spec.limits, hierarchies, machineFacts);
  const { root, isNew } = await rootFor(machine, containerId, image, options);
  try {
    const { addCapabilities: add = [], dropCapabilities: drop = [], seccomp = 'default' } = spec;
    const { bounding } = capabilitySets({ add, drop, isRoot: true, available: facts.capabilities });
    const filter = await plainSeccomp(seccomp, bounding);
    const calls = loadTreeCalls(syscalls);
    const config = await planBundle(
      {
        launchId: containerId,
        containerId,
        rootfs: root.path,
        isRootfsReadOnly: root.isReadOnly,
        image: root.runtime,
        spec: await findVolumes({ provisioner: machine.provisioner, calls, containerId, root }, spec, options.signal),
        cgroupsPath: undefined,
        network: joined,
        seccomp: filter && { oci: filter },
        facts,
        countsSwap: machineFacts.countsSwap,
        initProgram: findInit(spec.init),
        calls,
        signal,
      },
      spec.network === 'host' || joined !== undefined ? HOST_FILES : {},
    );
    return configText(config);
  } catch (error) {
    // A failed call leaves nothing. The error that brought us here says more than one of its removal.
    if (isNew) await machine.provisioner.destroy(containerId).catch(() => false);
    throw error;
  }
}

/** What is made for a launch here is not made for somebody else's. @throws ProvisionerError `ERR_BAD_OPTION`, `ERR_NETWORK_NOT_FOUND` */
function joinedFor({ network }: SpecOptions): JoinedNetwork | undefined {
  const mode = networkModeOf(network);
  if (mode.kind === 'namespace') return namespaceOfOthers(mode.path);
  if (mode.kind !== 'network') return undefined;
  throw new ProvisionerError('ERR_BAD_OPTION', `nothing is connected to the network ${mode.name} for another tool`, {
    hint: 'make a namespace with that tool, and give its path: netns:PATH; or choose none or host',
    details: { network: mode.name },
  });
}

/** The root filesystem of a container that is of this image, the newest; or a new one. */
async function rootFor(
  { provisioner }: Machine,
  containerId: string,
  image: string,
  { provision, signal }: SpecOptions,
): Promise<{ readonly root: LaunchRoot; readonly isNew: boolean }> {
  const container = await provisioner.containers.get(containerId);
  if (container === undefined) {
    return { root: rootOf(await provisioner.provision(containerId, image, { ...provision, signal })), isNew: true };
  }
  // What is missing in it is made.
  if (container.owner !== provisioner.owner) throw containerForeign(containerId, container.owner, provisioner.owner);
  const stored = await provisioner.images.get(image).catch((error) => {
    if (isProvisionerError(error, 'ERR_IMAGE_NOT_FOUND')) return undefined;
    throw error;
  });
  const rootfs = container.rootfses.findLast((one) => one.image === stored?.id && one.state === 'ready');
  if (stored === undefined || rootfs === undefined) {
    throw new ProvisionerError(
      'ERR_CONTAINER_EXISTS',
      `there is a container ${containerId} already, and none of its root filesystems that can be used is of ${image}`,
      { hint: 'choose another id; `provisioner ps` shows what there is', details: { containerId, image } },
    );
  }
  return {
    root: {
      id: rootfs.id,
      path: rootfs.rootfs,
      isReadOnly: rootfs.backend === 'bind',
      image: stored.id,
      runtime: runtimeConfig(readStoredConfig(stored.config)),
    },
    isNew: false,
  };
}
