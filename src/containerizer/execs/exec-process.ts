import { readFileSync } from 'node:fs';
import { ProvisionerError } from '../../base/errors.js';
import type { TreeCalls } from '../../system/syscalls/tree-calls.js';
import { deviceGroups } from '../bundle/bundle-config.js';
import { checkArguments, checkVariables, TERM, terminalOf, workingDirectoryOf } from '../bundle/program.js';
import { resolveUser } from '../bundle/rootfs/resolve-user.js';
import { RootfsView } from '../bundle/rootfs/rootfs-view.js';
import type { RuntimeSpecConfig, RuntimeSpecProcess, RuntimeSpecRlimit } from '../bundle/runtime-spec.js';
import type { ExecOptions } from '../containerizer.js';
import type { LaunchDirectory } from '../launches/kept/launch-directory.js';

/** No limit, as the kernel has it; more than a number of JavaScript holds exactly, so that what was read of it is something else. */
const UNLIMITED = 18446744073709551615n;

/**
 * What an `exec` is to run, as the runtime is told: the process of the container's own bundle, with another command.
 * @throws ProvisionerError `ERR_USER_UNKNOWN`, `ERR_WORKING_DIR`, `ERR_BAD_OPTION`
 * @see OCI runtime-spec, config.md, "Process"
 */
export function execProcess(
  directory: LaunchDirectory,
  calls: TreeCalls,
  command: readonly string[],
  { env = {}, workingDir, user, terminal }: ExecOptions,
): RuntimeSpecProcess {
  if (command.length === 0 || command[0] === '') {
    throw new ProvisionerError('ERR_BAD_OPTION', 'there is no program to run', { hint: 'give a command' });
  }
  checkArguments(command);
  checkVariables(env);
  const config = JSON.parse(readFileSync(directory.config, 'utf8')) as RuntimeSpecConfig;
  const { process: own, root } = config;
  const { consoleSize: _, ...process } = own;
  const other =
    user === undefined ? undefined : otherUser(new RootfsView(calls, root.path), user, process, deviceGroups(config));
  return {
    ...process,
    ...other?.process,
    ...terminalOf(terminal),
    args: command,
    env: withVariables(process.env, { ...(terminal && withTerm(process.env)), ...other?.env, ...env }),
    cwd: workingDirectoryOf({ workingDir: process.cwd }, { workingDir }),
    ...(process.rlimits && { rlimits: process.rlimits.map(exactRlimit) }),
  };
}

/** Capabilities go with the user: root has those of the container, anybody else none. @param groups beside his own */
function otherUser(
  view: RootfsView,
  text: string,
  { user, capabilities }: RuntimeSpecProcess,
  groups: readonly number[],
) {
  try {
    const { uid, gid, additionalGids, home } = resolveUser(view, text);
    const held = uid === 0 ? capabilities.bounding : [];
    return {
      process: {
        user: { ...user, uid, gid, additionalGids: [...new Set([...additionalGids, ...groups])] },
        capabilities: {
          bounding: capabilities.bounding,
          effective: held,
          permitted: held,
          inheritable: [],
          ambient: [],
        },
      },
      env: { HOME: home },
    };
  } finally {
    view.close();
  }
}

/** Unless the container says already what kind of terminal there is. */
function withTerm(env: readonly string[]): Readonly<Record<string, string>> {
  const [name, value] = TERM;
  return env.some((text) => text.startsWith(`${name}=`)) ? {} : { [name]: value };
}

function withVariables(list: readonly string[], more: Readonly<Record<string, string>>): string[] {
  const names = new Set(Object.keys(more));
  return [
    ...list.filter((text) => !names.has(text.slice(0, text.indexOf('=')))),
    ...Object.entries(more).map(([name, value]) => `${name}=${value}`),
  ];
}

function exactRlimit({ type, soft, hard }: RuntimeSpecRlimit): RuntimeSpecRlimit {
  const exact = (value: number | bigint) => (value > Number.MAX_SAFE_INTEGER ? UNLIMITED : value);
  return { type, soft: exact(soft), hard: exact(hard) };
}
