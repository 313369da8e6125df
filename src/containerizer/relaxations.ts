import type { LaunchSpec } from './launch-spec.js';

/** What makes a container less secure than it is by itself, in the words that ask for it. */
export function relaxationsOf(spec: LaunchSpec): string[] {
  return [
    ...(spec.noNewPrivileges === false ? ['no-new-privileges=false'] : []),
    ...(spec.seccomp === undefined || spec.seccomp === 'default' ? [] : [`seccomp=${spec.seccomp}`]),
    ...(spec.addCapabilities ?? []).map((name) => `cap-add=${name}`),
    ...(spec.network === 'host' || spec.network?.startsWith('netns:') ? [`network=${spec.network}`] : []),
    ...(spec.devices ?? []).map(({ source }) => `device=${source}`),
    ...(spec.cdiDevices ?? []).map((name) => `device=${name}`),
    ...(spec.leases?.devices ?? []).map((name) => `lease-device=${name}`),
    ...Object.entries(spec.leases?.deviceClasses ?? {}).map(([kind, count]) => `lease-device=${kind}:${count}`),
    ...(spec.limits?.pids === -1 ? ['pids-limit=-1'] : []),
  ];
}
