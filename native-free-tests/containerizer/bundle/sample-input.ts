import type { BundleInput } from '#src/containerizer/bundle/bundle-config.js';
import type { KernelFacts } from '#src/containerizer/bundle/kernel-facts.js';
import { plannedMounts } from '#src/containerizer/bundle/mounts/planned-mounts.js';
import type { LaunchSpec } from '#src/containerizer/launch-spec.js';
import type { RuntimeConfig } from '#src/image/image-config.js';

export const IMAGE: RuntimeConfig = {
  env: ['PATH=/bin', 'LANG=C'],
  entrypoint: ['/entry'],
  cmd: ['serve'],
  user: '',
  workingDir: '/app',
  labels: {},
  stopSignal: '',
  volumes: [],
};

export const DEFAULT_CAPABILITIES =
  'CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_FSETID CAP_KILL CAP_SETGID CAP_SETUID CAP_SETPCAP CAP_NET_BIND_SERVICE CAP_SYS_CHROOT CAP_SETFCAP'.split(
    ' ',
  );

export const FACTS: KernelFacts = {
  hardLimits: { nofile: 1048576, nproc: 4096, core: Number.POSITIVE_INFINITY },
  capabilities: [...DEFAULT_CAPABILITIES, 'CAP_NET_ADMIN', 'CAP_SYS_PTRACE'],
  recursiveAttributes: true,
};

export const OWN_FILES = { hosts: '/launch/hosts', hostname: '/launch/hostname', resolvConf: '/launch/resolv.conf' };

/** A whole input, with the mounts as they are planned: these samples name no target that a link could lead elsewhere. */
export function inputOf(spec: LaunchSpec = {}, changes: Partial<BundleInput> = {}): BundleInput {
  return {
    launchId: '0123456789abcdef0123456789abcdef',
    containerId: 'pod/job-1',
    rootfs: '/store/rootfs',
    image: IMAGE,
    spec,
    user: { uid: 0, gid: 0, additionalGids: [0], home: '/root' },
    mounts: plannedMounts({
      mounts: (spec.mounts ?? []).map((mount) => ({ ...mount, kind: 'directory' })),
      isReadOnly: spec.readOnly === true,
      files: OWN_FILES,
      recursiveAttributes: true,
    }).map(({ mount }) => mount),
    cgroupsPath: '/provisioner-0123456789ab/0123456789abcdef0123456789abcdef',
    facts: FACTS,
    countsSwap: true,
    ...changes,
  };
}
