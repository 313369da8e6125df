import { constants as files, readFileSync, readlinkSync } from 'node:fs';
import { constants } from 'node:os';
import { basename } from 'node:path';

/** The bits of a descriptor's flags that say whether it is for reading, writing or both. @see fcntl(2), F_GETFL */
const ACCESS_MODE = 3;

/**
 * Whether whoever began this process wants it to live on when its terminal is gone, as nohup(1) does by ignoring SIGHUP. Node has set all signals to their defaults by now, and
 * the kernel does not tell what they were before, so this goes by what else shows it:
 *
 * - the parent ignores SIGHUP: what it ignores, its children begin with;
 * - the shell says that the command it has begun was nohup;
 * - standard input is a /dev/null that cannot be read, which GNU nohup puts in the place of a terminal.
 *
 * Where none of these can be seen, nobody is taken to have asked for it.
 * @see https://nodejs.org/api/process.html "Signal events"; node.cc, PlatformInit, "Restore signal dispositions, the parent process may have been evil"
 */
export function isHangUpIgnored(environment: NodeJS.ProcessEnv = process.env): boolean {
  return basename(environment['_'] ?? '') === 'nohup' || doesParentIgnoreIt() || isInputOfNohup();
}

function doesParentIgnoreIt(): boolean {
  const ignored = /^SigIgn:\s*([0-9a-f]+)$/m.exec(read(`/proc/${process.ppid}/status`))?.[1] ?? '0';
  return ((BigInt(`0x${ignored}`) >> BigInt(constants.signals.SIGHUP - 1)) & 1n) === 1n;
}

function isInputOfNohup(): boolean {
  const flags = Number.parseInt(/^flags:\s*([0-7]+)$/m.exec(read('/proc/self/fdinfo/0'))?.[1] ?? '0', 8);
  return (flags & ACCESS_MODE) === files.O_WRONLY && target('/proc/self/fd/0') === '/dev/null';
}

/** Empty where it cannot be read: not on Linux, in a sandbox, when the parent has ended. */
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function target(link: string): string {
  try {
    return readlinkSync(link);
  } catch {
    return '';
  }
}
