import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { systemCode } from '../../../base/errors.js';
import type { LaunchOptions, LaunchSpec, MountSpec } from '../../../containerizer/index.js';
import { parseAge, parseMemory } from '../../output/parse-units.js';
import { UsageError } from '../../usage-error.js';
import { type DeviceFlags, devicesOf, type LeaseFlags, leasesOf } from './device-flags.js';
import { addHealthFlags, type HealthFlags, healthOf } from './health-flags.js';
import { addLimitFlags, each, type LimitFlags, newLimitsOf, numberOf } from './limit-flags.js';
import { addNetworkFlags, type NetworkFlags, networkOf } from './network-flags.js';
import { REFUSED_BY_RUN, refuse } from './refused-flags.js';
import { volumeOf } from './volume.js';

/** What may be said of a program and what surrounds it; names and meanings as Docker and podman have them. */
export interface SpecFlags extends LimitFlags, DeviceFlags, NetworkFlags {
  readonly env: readonly string[];
  readonly envFile: readonly string[];
  readonly workdir?: string;
  readonly user?: string;
  readonly hostname?: string;
  readonly volume: readonly string[];
  readonly mount: readonly string[];
  readonly tmpfs: readonly string[];
  readonly secret: readonly string[];
  readonly readOnly?: boolean;
  readonly entrypoint?: string;
  readonly ulimit: readonly string[];
  readonly capAdd: readonly string[];
  readonly capDrop: readonly string[];
  readonly securityOpt: readonly string[];
  readonly addHost: readonly string[];
  readonly dns: readonly string[];
  readonly init?: boolean;
}

/** And of its launch. */
export interface LaunchFlags extends SpecFlags, LeaseFlags, HealthFlags {
  readonly stopSignal?: string;
  readonly timeout?: string;
  readonly label: readonly string[];
  readonly logOpt: readonly string[];
  readonly rm?: boolean;
}

export function addSpecFlags(command: Command): void {
  // Hands know the short form of Docker, where it is the host's name.
  command.helpOption('--help', 'print this help');
  each(command, '-e, --env <name=value>', 'a variable of its environment; without =value, as it is here');
  each(command, '--env-file <file>', 'lines of such variables');
  command.option('-w, --workdir <dir>', 'where it begins (default: as the image says)');
  command.option('-u, --user <user[:group]>', 'who runs it, names or numbers (default: as the image says)');
  command.option('-h, --hostname <name>', 'what the container is called inside (default: its id)');
  each(
    command,
    '-v, --volume <source:target[:ro]>',
    'a path of this machine, or a volume by its name, in the container',
  );
  each(
    command,
    '--mount <type=…,target=…>',
    'the same, or a tmpfs, word by word: type=bind, volume or tmpfs; source, target, readonly, tmpfs-size, tmpfs-mode',
  );
  each(command, '--tmpfs <target[:options]>', 'a directory in memory, with options such as size=64m,exec');
  each(
    command,
    '--secret <name=file>',
    'a file of this machine that the program finds as /run/secrets/NAME, and that is kept nowhere',
  );
  command.option('--read-only', 'the program may write to mounts alone; /tmp, /var/tmp and /run are in memory');
  command.option('--entrypoint <program>', "in place of the image's entrypoint and command; an empty one is none");
  addLimitFlags(command);
  each(
    command,
    '--device <source[:target][:rwm]>',
    'a device of this machine, or one that a CDI file describes: vendor.com/class=name',
  );
  command.option('--gpus <which>', 'GPUs that a CDI file describes: all, a number of them, or device=0,1');
  each(command, '--ulimit <name=soft[:hard]>', 'a limit of a process, such as nofile=1024');
  each(command, '--cap-add <capability>', 'beside the default ones, or ALL');
  each(command, '--cap-drop <capability>', 'of the default ones, or ALL');
  each(command, '--security-opt <word>', 'no-new-privileges=false, seccomp=unconfined or seccomp=FILE');
  addNetworkFlags(command);
  each(command, '--add-host <name:address>', 'a line of /etc/hosts');
  each(command, '--dns <address>', 'a name server');
  command.option('--init', 'a small init as process 1, which takes away what has ended and hands signals on');
}

export function addLaunchFlags(command: Command): void {
  command.option('--rm', 'remove the container when its program has ended');
  addSpecFlags(command);
  command.option(
    '--lease-cpus <number|list>',
    'so many processors, or which (0-2,7; 3-3 is the one with number 3), that no other container leases or names',
  );
  each(
    command,
    '--lease-device <name[:count]>',
    'a device that no other container has, by path or CDI name; or so many of a kind: vendor.com/class:2',
  );
  command.option('--stop-signal <signal>', 'what `stop` sends first (default: as the image says, else TERM)');
  command.option(
    '--timeout <age>',
    'kill it after this time, such as 10m or 90s; bare numbers are seconds, 0 is no limit',
  );
  each(command, '-l, --label <name=value>', 'a note for whoever looks at it');
  each(
    command,
    '--log-opt <name=value>',
    'max-size=SIZE of what is kept of its output (default: 64m), when-full=rotate|end',
  );
  addHealthFlags(command);
  refuse(command, REFUSED_BY_RUN);
}

/** @param command of the command line: empty for the image's @throws UsageError */
export function launchOptions(
  flags: LaunchFlags,
  command: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): LaunchOptions {
  return {
    ...specOptions(flags, command, environment),
    stopSignal: flags.stopSignal,
    timeout: limitOf(flags.timeout),
    labels: Object.fromEntries(flags.label.map((text) => pairOf(text, '--label'))),
    log: logOf(flags.logOpt),
    remove: flags.rm,
    ...leasesOf(flags),
    ...healthOf(flags),
  };
}

/** @param command as of `launchOptions` @throws UsageError */
export function specOptions(
  flags: SpecFlags,
  command: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): LaunchSpec {
  const security = securityOf(flags.securityOpt);
  return {
    ...(command.length > 0 ? { command } : {}),
    ...(flags.entrypoint === undefined ? {} : { entrypoint: flags.entrypoint === '' ? [] : [flags.entrypoint] }),
    env: {
      ...variablesOf(flags.envFile.flatMap(linesOf), '--env-file', environment),
      ...variablesOf(flags.env, '--env', environment),
    },
    workingDir: flags.workdir,
    user: flags.user,
    hostname: flags.hostname,
    mounts: [...flags.volume.map((text) => volumeOf(text)), ...flags.mount.map(mountOf), ...flags.tmpfs.map(tmpfsOf)],
    secrets: Object.fromEntries(flags.secret.map(secretOf)),
    readOnly: flags.readOnly,
    limits: newLimitsOf(flags),
    addCapabilities: flags.capAdd,
    dropCapabilities: flags.capDrop,
    ...security,
    ...networkOf(flags),
    ulimits: Object.fromEntries(flags.ulimit.map(ulimitOf)),
    addHosts: Object.fromEntries(flags.addHost.map(hostOf)),
    dns: flags.dns,
    init: flags.init,
    ...devicesOf(flags),
  };
}

/** Seconds, or an age: milliseconds. @throws UsageError */
export function timeOf(text: string, option: string): number {
  return /^[0-9]+(?:\.[0-9]+)?$/.test(text) ? Number(text) * 1000 : parseAge(text, option);
}

/** Of `--timeout`, in milliseconds: 0 is none, as podman has it. @throws UsageError */
export function limitOf(text: string | undefined): number | undefined {
  return text === undefined ? undefined : timeOf(text, '--timeout') || undefined;
}

function pairOf(text: string, option: string): [string, string] {
  const at = text.indexOf('=');
  const name = at < 0 ? text : text.slice(0, at);
  if (name === '')
    throw new UsageError(`${option}: there is no name in ${JSON.stringify(text)}`, `write ${option} NAME=VALUE`);
  return [name, at < 0 ? '' : text.slice(at + 1)];
}

/** One without a value is handed on, where there is something to hand on. @param option for errors @throws UsageError */
export function variablesOf(
  texts: readonly string[],
  option: string,
  environment: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const variables: Record<string, string> = {};
  for (const text of texts) {
    const [name, value] = pairOf(text, option);
    const given = text.includes('=') ? value : environment[name];
    if (given !== undefined) variables[name] = given;
  }
  return variables;
}

function linesOf(file: string): string[] {
  const lines = readEnvFile(file).split(/\r?\n/);
  return lines.map((line) => line.trimStart()).filter((line) => line !== '' && !line.startsWith('#'));
}

function readEnvFile(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new UsageError(
      `--env-file: ${file} cannot be read: ${systemCode(error) ?? String(error)}`,
      'name a file of lines NAME=VALUE',
    );
  }
}

function secretOf(text: string): [string, string] {
  const [name, file] = pairOf(text, '--secret');
  if (file !== '') return [name, resolve(file)];
  throw new UsageError(`--secret: there is no file in ${JSON.stringify(text)}`, 'write --secret NAME=FILE');
}

function mountOf(text: string): MountSpec {
  const words = new Map(text.split(',').map((word) => pairOf(word, '--mount')));
  const take = (...names: string[]) => {
    for (const name of names) {
      const value = words.get(name);
      if (value !== undefined) {
        for (const one of names) words.delete(one);
        return value;
      }
    }
    return undefined;
  };
  const type = take('type') ?? 'bind';
  const source = take('source', 'src');
  const target = take('target', 'dst', 'destination');
  const readOnly = take('readonly', 'ro');
  const size = take('tmpfs-size');
  const mode = take('tmpfs-mode');
  const [unknown] = words.keys();
  if (unknown !== undefined)
    throw new UsageError(
      `--mount: unknown word ${JSON.stringify(unknown)}`,
      'there are: type, source, target, readonly, tmpfs-size, tmpfs-mode',
    );
  if ((type !== 'bind' && type !== 'tmpfs' && type !== 'volume') || target === undefined) {
    throw new UsageError(
      `--mount: not a mount: ${JSON.stringify(text)}`,
      'write type=bind,source=/of/this/machine,target=/in/the/container, type=volume,source=NAME,target=…, or type=tmpfs,target=…',
    );
  }
  if (source !== undefined && type !== 'tmpfs' && source.startsWith('/') !== (type === 'bind')) {
    throw new UsageError(
      `--mount: ${JSON.stringify(source)} is ${type === 'bind' ? 'no path of this machine' : 'no name of a volume'}`,
      type === 'bind'
        ? 'a volume is type=volume,source=NAME,target=…: without a type it is a bind, whose source is an absolute path'
        : 'write type=volume,source=NAME,target=…, type=volume,target=… for one without a name, or type=bind with a path',
    );
  }
  return {
    type,
    target,
    ...(source === undefined ? {} : { source }),
    readOnly: readOnly !== undefined && readOnly !== 'false' && readOnly !== '0',
    ...(size === undefined ? {} : { sizeBytes: parseMemory(size, '--mount') }),
    ...(mode === undefined ? {} : { mode: modeOf(mode, '--mount') }),
  };
}

function tmpfsOf(text: string): MountSpec {
  const at = text.indexOf(':');
  const target = at < 0 ? text : text.slice(0, at);
  const words = new Map(
    (at < 0 || at === text.length - 1 ? [] : text.slice(at + 1).split(',')).map((word) => pairOf(word, '--tmpfs')),
  );
  const known = ['size', 'mode', 'exec', 'noexec', 'ro', 'rw', 'nosuid', 'nodev'];
  for (const word of words.keys()) {
    if (!known.includes(word))
      throw new UsageError(`--tmpfs: unknown option ${JSON.stringify(word)}`, `there are: ${known.join(', ')}`);
  }
  const [size, mode] = [words.get('size'), words.get('mode')];
  return {
    type: 'tmpfs',
    target,
    ...(size === undefined ? {} : { sizeBytes: parseMemory(size, '--tmpfs') }),
    ...(mode === undefined ? {} : { mode: modeOf(mode, '--tmpfs') }),
    ...(words.has('exec') ? { exec: true } : {}),
    ...(words.has('ro') ? { readOnly: true } : {}),
  };
}

function modeOf(text: string, option: string): number {
  if (/^[0-7]{1,5}$/.test(text)) return Number.parseInt(text, 8);
  throw new UsageError(`${option}: not a mode: ${JSON.stringify(text)}`, 'write it in octal, such as 1777');
}

function ulimitOf(text: string): [string, { soft: number; hard: number }] {
  const [name, value] = pairOf(text, '--ulimit');
  const [soft = '', hard = soft] = value.split(':');
  const numberIn = (one: string) => (one === 'unlimited' ? -1 : numberOf(one, '--ulimit', 'nofile=1024'));
  return [name, { soft: numberIn(soft), hard: numberIn(hard) }];
}

function hostOf(text: string): [string, string] {
  const at = text.search(/[:=]/);
  if (at <= 0 || at === text.length - 1)
    throw new UsageError(
      `--add-host: not a name and an address: ${JSON.stringify(text)}`,
      'write --add-host NAME:ADDRESS',
    );
  return [text.slice(0, at), text.slice(at + 1).replace(/^\[(.*)\]$/, '$1')];
}

function securityOf(words: readonly string[]): Pick<LaunchOptions, 'noNewPrivileges' | 'seccomp'> {
  const found: { noNewPrivileges?: boolean; seccomp?: string } = {};
  for (const word of words) {
    const [name = '', value = ''] = word.split(/[=:](.*)/s);
    if (name === 'no-new-privileges' && /^(?:true|false|)$/.test(value)) found.noNewPrivileges = value !== 'false';
    else if (name === 'seccomp' && value !== '') {
      found.seccomp = value === 'unconfined' || value === 'default' ? value : resolve(value);
    } else {
      throw new UsageError(
        `--security-opt: unknown word ${JSON.stringify(word)}`,
        'there are: no-new-privileges=false, seccomp=unconfined, seccomp=FILE',
      );
    }
  }
  return found;
}

function logOf(words: readonly string[]): LaunchOptions['log'] {
  const found: { maxBytes?: number; whenFull?: 'rotate' | 'end' } = {};
  for (const word of words) {
    const [name, value] = pairOf(word, '--log-opt');
    if (name === 'max-size') found.maxBytes = value === '-1' ? 0 : parseMemory(value, '--log-opt max-size');
    else if (name === 'when-full' && (value === 'rotate' || value === 'end')) found.whenFull = value;
    else
      throw new UsageError(
        `--log-opt: unknown word ${JSON.stringify(word)}`,
        'there are: max-size=SIZE, when-full=rotate, when-full=end',
      );
  }
  return found;
}
