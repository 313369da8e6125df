import { ProvisionerError } from '../../base/errors.js';
import type { RuntimeSpecCapabilities } from './runtime-spec.js';

/** By the kernel's numbers. @see capabilities(7); include/uapi/linux/capability.h */
export const CAPABILITIES: readonly string[] = (
  'CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER ' +
  'SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP ' +
  'MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE'
)
  .split(' ')
  .map((name) => `CAP_${name}`);

/** What podman gives. @see containers.conf(5), `default_capabilities` */
const DEFAULTS: readonly string[] =
  'CHOWN DAC_OVERRIDE FOWNER FSETID KILL NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID SYS_CHROOT'
    .split(' ')
    .map((name) => `CAP_${name}`);

export interface CapabilityWishes {
  /** With or without `CAP_`, in letters of any size; `ALL` for all that this process can give. */
  readonly add: readonly string[];
  /** Likewise; `ALL` leaves what is added by name. */
  readonly drop: readonly string[];
  readonly isRoot: boolean;
  /** What this process can give. */
  readonly available: readonly string[];
}

/**
 * As podman has it: root gets the whole set; any other user begins with none of it, and can come to it by setuid programs, where these are let; but what was added by name he has from the
 * start, and what he starts has it too, since nothing else would let him use it.
 * @throws ProvisionerError `ERR_BAD_OPTION` for a name that is none, or one that is to be added and that this process does not have
 */
export function capabilitySets({ add, drop, isRoot, available }: CapabilityWishes): RuntimeSpecCapabilities {
  const added = add.map(nameOf);
  const dropped = new Set(drop.map(nameOf));
  const missing = added.find((name) => name !== 'ALL' && !available.includes(name));
  if (missing !== undefined) {
    throw new ProvisionerError('ERR_BAD_OPTION', `${missing} cannot be added: this process does not have it itself`, {
      hint: 'start this process with that capability, or do without it',
      details: { capability: missing },
    });
  }
  const isWanted = (name: string) => {
    if (dropped.has(name)) return false;
    return added.includes(name) || added.includes('ALL') || (!dropped.has('ALL') && DEFAULTS.includes(name));
  };
  const all = available.filter(isWanted);
  if (isRoot) return { bounding: all, effective: all, permitted: all, inheritable: [], ambient: [] };
  const named = all.filter((name) => added.includes(name));
  return { bounding: all, effective: named, permitted: named, inheritable: named, ambient: named };
}

function nameOf(text: string): string {
  const upper = text.toUpperCase();
  if (upper === 'ALL') return upper;
  const name = upper.startsWith('CAP_') ? upper : `CAP_${upper}`;
  if (CAPABILITIES.includes(name)) return name;
  throw new ProvisionerError('ERR_BAD_OPTION', `there is no capability ${JSON.stringify(text)}`, {
    hint: 'capabilities(7) lists them',
    details: { capability: text },
  });
}
