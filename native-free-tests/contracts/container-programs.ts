import { text } from 'node:stream/consumers';
import type { FakeProcess, FakeProgram } from '../helpers/fake-containers/fake-process.js';

/**
 * What the programs of the containerizers' contract do: each as a script for the shell of an image, and as a function for containers that are in memory. Both do the same,
 * or a test of the contract fails over one of them.
 */
export interface ContractProgram {
  readonly script: string;
  readonly run: FakeProgram;
}

/** How programs are named to a launch: as the words that start a script. */
export const shell = ({ script }: ContractProgram): string[] => ['sh', '-c', script];

const known = new Map<string, FakeProgram>([
  ['true', () => 0],
  ['cat', copies],
]);

/** What a command of the contract does; undefined when there is no such program. */
export const functionOf = (command: readonly string[]): FakeProgram | undefined => known.get(keyOf(command));

const keyOf = (command: readonly string[]) => command.join('\0');

function program(script: string, run: FakeProgram): ContractProgram {
  const made = { script, run };
  known.set(keyOf(shell(made)), run);
  return made;
}

async function copies(process: FakeProcess): Promise<number> {
  process.print(await text(process.stdin));
  return 0;
}

export const exits = (code: number): ContractProgram => program(`exit ${code}`, () => code);

export const exitsAfter = (milliseconds: number, code: number): ContractProgram =>
  program(`sleep ${milliseconds / 1000}; exit ${code}`, async (process) => {
    await process.sleep(milliseconds);
    return code;
  });

/** The first process of a container is deaf to signals from inside. */
export const killsItself = program('kill -9 $$', () => 0);

/** Each stream by itself, and an end without a line break. */
export const printsToBoth = program(
  'for i in 1 2 3; do echo out $i; done; echo err >&2; printf "no end"; exit 1',
  (process) => {
    process.print('out 1\nout 2\nout 3\n');
    process.print('err\n', 'stderr');
    process.print('no end');
    return 1;
  },
);

export const printsNumbers = (last: number): ContractProgram =>
  program(`seq 1 ${last}; printf "no end"`, (process) => {
    for (let number = 1; number <= last; number++) process.print(`${number}\n`);
    process.print('no end');
    return 0;
  });

export const printsSlowly = program('for i in 1 2 3; do echo $i; sleep 0.2; done', async (process) => {
  for (const number of [1, 2, 3]) {
    process.print(`${number}\n`);
    await process.sleep(200);
  }
  return 0;
});

/** Its user and group, its directory, the variable A and its home, its host name, and what it can read. */
export const tellsWhatItWasGiven = program(
  'id -u; id -g; pwd; echo "$A $HOME"; cat /etc/hostname; cat; exit 0',
  async (process) => {
    const { uid, gid, workingDir, env, hostname } = process;
    process.print(`${uid}\n${gid}\n${workingDir}\n${env['A']} ${env['HOME']}\n${hostname}\n`);
    return copies(process);
  },
);

/** Its user and directory, and variables of its own and of its container. */
export const tellsWhatItWasGivenBeside = program('id -u; pwd; echo $A $B $C $HOME', (process) => {
  const { uid, workingDir, env } = process;
  process.print(`${uid}\n${workingDir}\n${env['A']} ${env['B']} ${env['C']} ${env['HOME']}\n`);
  return 0;
});

/** A hundred thousand characters. */
export const isLong = program(
  `${': a comment as long as a line of a book'.padEnd(100, '.')}\n`.repeat(1000).concat('exit 5'),
  () => 5,
);

export const readsToTheEnd = program('cat; echo over', async (process) => {
  await copies(process);
  process.print('over\n');
  return 0;
});

export const printsAndExits = (line: string, code: number): ContractProgram =>
  program(`echo ${line}; exit ${code}`, (process) => {
    process.print(`${line}\n`);
    return code;
  });

export const printsAndExitsAfter = (line: string, milliseconds: number, code: number): ContractProgram =>
  program(`echo ${line}; sleep ${milliseconds / 1000}; exit ${code}`, async (process) => {
    process.print(`${line}\n`);
    await process.sleep(milliseconds);
    return code;
  });

/** And what the variable A is. */
export const tellsWhetherItRanBefore = program(
  'echo "run $(cat /n 2>/dev/null) $A"; echo again > /n; exit 3',
  (process) => {
    process.print(`run ${process.files.has('/n') ? 'again' : ''} ${process.env['A']}\n`);
    process.files.add('/n');
    return 3;
  },
);

/** It cannot be started again. */
export const takesItsShellAway = program('echo first; rm /bin/sh; exit 3', (process) => {
  process.print('first\n');
  process.removeProgram('sh');
  return 3;
});

/** Runs until it is told to end. */
export const runs = program('trap "exit 0" TERM; echo ready; while :; do sleep 0.05; done', (process) => {
  process.on('TERM', () => 0);
  process.print('ready\n');
  return process.forEver();
});

/** A child of it runs too. */
export const runsBesideAChild = program(`sleep 77 & ${runs.script}`, (process) => {
  process.spawn(['sleep', '77'], (child) => child.forEver());
  return runs.run(process);
});

export const isReadyAndReads = program('echo ready; read x', (process) => {
  process.print('ready\n');
  return process.forEver();
});

export const hasASecretAmongItsWords = program('exit 3 # hidden', () => 3);

const STUBBORN = 'trap "" TERM INT HUP; echo ready; while :; do sleep 0.05; done';
/** Nobody can ask it to end. */
export const isStubborn = program(STUBBORN, (process) => {
  process.ignore('TERM', 'INT', 'HUP');
  process.print('ready\n');
  return process.forEver();
});

/** Its own words are not among those that it looks for. */
export const countsStubborn = program('cat /proc/[0-9]*/cmdline | grep -c "INT H[U]P"', (process) => {
  process.print(`${process.running.filter((command) => command.join(' ').includes(STUBBORN)).length}\n`);
  return 0;
});

export const heedsInterruptAndHangup = program(
  'trap "exit 3" INT; trap "exit 4" HUP; echo ready; while :; do sleep 0.05; done',
  (process) => {
    process.on('INT', () => 3);
    process.on('HUP', () => 4);
    process.print('ready\n');
    return process.forEver();
  },
);

export const tellsOfSignals = program('trap "echo got" USR1; echo ready; while :; do sleep 0.05; done', (process) => {
  process.on('USR1', () => {
    process.print('got\n');
    return undefined;
  });
  process.print('ready\n');
  return process.forEver();
});

export const printsToBothShortly = program('echo out; echo err >&2; exit 9', (process) => {
  process.print('out\n');
  process.print('err\n', 'stderr');
  return 9;
});

/** A child of it goes on, and could print. */
export const leavesAChild = program('(sleep 30) & echo out; exit 5', (process) => {
  process.print('out\n');
  return 5;
});

/** The same a while later. */
export const saysDoneLeavingAChild = program('(sleep 30) & sleep 0.3; echo done', async (process) => {
  await process.sleep(300);
  process.print('done\n');
  return 0;
});

export const counts = program('echo ready; i=0; while :; do echo $((i += 1)); sleep 0.05; done', async (process) => {
  process.print('ready\n');
  for (let number = 1; ; number++) {
    process.print(`${number}\n`);
    await process.sleep(50);
  }
});

export const takesMuchMemory = program('exec dd if=/dev/zero of=/dev/null bs=100M', (process) => {
  process.take(100 * 2 ** 20);
  return 0;
});

export const makesAFile = (code: number): ContractProgram =>
  program(`echo first; touch /made; exit ${code}`, (process) => {
    process.print('first\n');
    process.files.add('/made');
    return code;
  });

export const looksForTheFile = program('ls /made 2>/dev/null || echo second', (process) => {
  process.print(process.files.has('/made') ? '/made\n' : 'second\n');
  return 0;
});
