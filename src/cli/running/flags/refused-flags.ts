import { type Command, Option } from 'commander';
import { UsageError } from '../../usage-error.js';

/** An option that hands know from Docker or podman, and that is not there. */
export interface RefusedFlag {
  /** As commander has it. */
  readonly flags: string;
  /** What is not there, after the option's name and a colon. */
  readonly why: string;
  /** What else to do. */
  readonly instead: string;
  /** Values that ask for what is so in any case: with one of these it is taken. Empty for an option that has none. */
  readonly harmless?: readonly string[];
}

const PRIVILEGED: RefusedFlag = {
  flags: '--privileged',
  why: 'there is no such thing',
  instead:
    'relax what is in the way: --cap-add, --security-opt seccomp=unconfined, --security-opt no-new-privileges=false, --network host',
};
const DETACH_KEYS: RefusedFlag = {
  flags: '--detach-keys <keys>',
  why: 'a program more ends with its terminal',
  instead: 'leave it out: every key is the program’s; `run -it` and `attach` can be left',
};

/** Options of the same meaning in a row that says so for all of them. */
const alike = (rest: Omit<RefusedFlag, 'flags'>, ...flags: readonly string[]): RefusedFlag[] =>
  flags.map((one) => ({ flags: one, ...rest }));

const NAMESPACE = 'a container always has a namespace of its own';
const IMAGE_SAYS = 'say it in the image, or in the command';

/** Those of a new container. */
export const REFUSED_BY_RUN: readonly RefusedFlag[] = [
  PRIVILEGED,
  {
    flags: '--restart <policy>',
    why: 'nothing here starts a program again, since nothing here runs all the time',
    instead: 'let systemd do it: a unit with Restart= whose ExecStart= is `provisioner run --rm …`, without -d',
    harmless: ['no'],
  },
  {
    flags: '-a, --attach <stream>',
    why: 'streams are not chosen one by one',
    instead: 'leave it out: both outputs come here unless -d is given, and -i hands on standard input',
  },
  {
    flags: '--sig-proxy <boolean>',
    why: 'it cannot be turned off: the first signal is handed on to the program, the second ends this command alone',
    instead: 'leave it out, or write -d and follow with `logs -f`',
    harmless: ['true'],
  },
  {
    flags: '--cidfile <file>',
    why: 'no file is written',
    instead: 'choose the id yourself: --name ID; or take what -d prints',
  },
  {
    flags: '--stop-timeout <seconds>',
    why: 'it is not kept with the container yet',
    instead: 'say it when it is stopped: `provisioner stop --time 30s ID`',
  },
  {
    flags: '--replace',
    why: 'nothing is destroyed on the way',
    instead: 'destroy the old one first: `provisioner destroy --force ID`',
  },
  {
    flags: '--rmi',
    why: 'images are not removed with containers',
    instead: '`provisioner prune`, or `rmi` afterwards',
  },
  { flags: '-q', why: 'there is no such short form', instead: 'write --quiet' },
  { flags: '-P, --publish-all', why: 'ports are published one by one', instead: 'write -p PORT for each of them' },
  {
    flags: '--expose <port>',
    why: 'all ports of a container can be reached in its network',
    instead: 'leave it out, or write -p PORT to publish one on this machine',
  },
  ...alike(
    {
      why: 'containers of one network know each other by their ids',
      instead: 'write --network-alias NAME for one more name',
    },
    '--link <container>',
  ),
  ...alike(
    { why: 'networks have IPv4 addresses alone', instead: 'leave it out, or write --ip ADDRESS' },
    '--link-local-ip <address>',
    '--ip6 <address>',
  ),
  ...alike({ why: 'a network gives them', instead: 'leave it out' }, '--mac-address <address>', '--pod <name>'),
  ...alike(
    { why: 'only name servers can be given', instead: 'write --dns ADDRESS, and names in full' },
    '--dns-search <domain>',
    '--dns-option <option>',
    '--dns-opt <option>',
  ),
  { flags: '--domainname <name>', why: 'it cannot be set', instead: 'write --hostname NAME.DOMAIN' },
  {
    flags: '--device-cgroup-rule <rule>',
    why: 'devices are not let through by rules of their own',
    instead: 'write --device SOURCE, for each device that it is to have',
  },
  ...alike(
    {
      why: 'disks are not weighed against each other',
      instead:
        'write --device-read-bps PATH:RATE, or another of --device-write-bps, --device-read-iops, --device-write-iops',
    },
    '--blkio-weight <weight>',
    '--blkio-weight-device <weight>',
  ),
  {
    flags: '--shm-size <size>',
    why: '/dev/shm has 64 MiB by itself',
    instead: 'write --tmpfs /dev/shm:size=SIZE for another size',
  },
  {
    flags: '--volumes-from <container>',
    why: 'volumes are not taken over from a container',
    instead: 'give both the same ones by name: -v NAME:/in/the/container',
  },
  {
    flags: '--volume-driver <name>',
    why: 'volumes are directories of the store',
    instead: 'leave it out; what is mounted elsewhere can be bound: -v /of/this/machine:/in/the/container',
    harmless: ['local'],
  },
  ...alike(
    {
      why: 'there is one kind of check, from the start on',
      instead: 'write --health-start-period TIME, in which failures do not count',
    },
    '--health-startup-cmd <command>',
    '--health-startup-interval <time>',
    '--health-startup-retries <n>',
    '--health-startup-success <n>',
    '--health-startup-timeout <time>',
  ),
  ...alike(
    { why: 'the last five results are kept', instead: 'leave it out; `provisioner ps --json` has them' },
    '--health-log-destination <directory>',
    '--health-max-log-count <n>',
    '--health-max-log-size <size>',
  ),
  {
    flags: '--cgroup-parent <cgroup>',
    why: 'cgroups of containers are below the one that this process may use',
    instead: 'start provisioner in another one: `systemd-run --scope --slice=… provisioner run …`',
  },
  ...alike(
    { why: 'processors are not weighed against each other', instead: 'write --cpus NUMBER, or --cpuset-cpus LIST' },
    '-c, --cpu-shares <weight>',
    '--cpu-period <microseconds>',
    '--cpu-quota <microseconds>',
    '--cpu-rt-period <microseconds>',
    '--cpu-rt-runtime <microseconds>',
    '--cpuset-mems <list>',
  ),
  ...alike(
    { why: 'memory has one limit', instead: 'write --memory SIZE, and --memory-swap SIZE where it may swap' },
    '--memory-reservation <size>',
    '--memory-swappiness <percent>',
    '--kernel-memory <size>',
    '--oom-kill-disable',
    '--oom-score-adj <n>',
  ),
  ...alike(
    {
      why: NAMESPACE,
      instead: 'leave it out; what is to see others runs outside of containers',
      harmless: ['private'],
    },
    '--pid <namespace>',
    '--ipc <namespace>',
    '--uts <namespace>',
    '--cgroupns <namespace>',
  ),
  {
    flags: '--userns <namespace>',
    why: 'no user namespace is made yet',
    instead: 'leave it out; --user and the capabilities say what root inside may do',
    harmless: ['host'],
  },
  {
    flags: '--group-add <group>',
    why: 'groups beside the user’s own cannot be added',
    instead: 'write -u USER:GROUP, or put the user into the group in the image',
  },
  { flags: '--sysctl <name=value>', why: 'parameters of the kernel cannot be set yet', instead: 'leave it out' },
  {
    flags: '--log-driver <name>',
    why: 'there is one kind of log',
    instead: 'leave it out; `provisioner logs` reads it, and --log-opt says how much is kept',
  },
  ...alike(
    { why: 'it is not known', instead: 'write --label NAME=VALUE' },
    '--label-file <file>',
    '--annotation <name=value>',
  ),
  ...alike({ why: 'it cannot be set', instead: IMAGE_SAYS }, '--umask <mode>', '--tz <zone>', '--systemd <mode>'),
];

/** Those of a container that is started later, beside those of `run`. */
export const REFUSED_BY_CREATE: readonly RefusedFlag[] = [
  { flags: '-d, --detach', why: 'nothing is started yet', instead: 'leave it out, or write `run -d`' },
];

/** Those of a program more. */
export const REFUSED_BY_EXEC: readonly RefusedFlag[] = [
  PRIVILEGED,
  DETACH_KEYS,
  {
    flags: '-d, --detach',
    why: 'a program more runs for as long as this command',
    instead: 'let your shell put it aside, with & behind it',
  },
  { flags: '--env-file <file>', why: 'variables are given one by one', instead: 'write -e NAME=VALUE' },
];

/** Has each of these options say what else to do, where the parser would only say that it does not know it. They show in no help. */
export function refuse(command: Command, refused: readonly RefusedFlag[]): void {
  for (const { flags, why, instead, harmless = [] } of refused) {
    const option = new Option(flags).hideHelp();
    command.addOption(option);
    command.on(`option:${option.name()}`, (value: string | null) => {
      if (harmless.includes(value ?? '')) return;
      throw new UsageError(`${option.long ?? option.short}: ${why}`, instead);
    });
  }
}
