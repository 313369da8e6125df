import type { Command, Option } from 'commander';

/** Commands that end in the words of a program, and how many arguments before these are theirs. */
const RUN_PROGRAMS: ReadonlyMap<string, number> = new Map([
  ['run', 1],
  ['create', 1],
  ['exec', 1],
  ['fork', 2],
  ['spec', 2],
]);

/** Those of which mostly no program follows: options of their own stand behind their arguments too, up to the first word of a program. */
const WITHOUT_MOSTLY: ReadonlySet<string> = new Set(['fork']);

/**
 * Puts `--` behind the last argument of its own of a command that runs a program: whatever follows are that program's words, options among them, as everybody knows it of Docker. Options of
 * the command stand before it.
 * @param args of the whole command line
 */
export function separateProgram(args: readonly string[], program: Command): readonly string[] {
  const at = firstArgument(args, 0, program.options);
  const command = program.commands.find((one) => one.name() === args[at ?? 0]);
  const own = RUN_PROGRAMS.get(command?.name() ?? '');
  if (at === undefined || command === undefined || own === undefined) return args;
  let last: number | undefined = at;
  for (let found = 0; found < own && last !== undefined; found++) {
    last = firstArgument(args, last + 1, [...program.options, ...command.options]);
  }
  if (last === undefined) return args;
  const first = WITHOUT_MOSTLY.has(command.name())
    ? firstArgument(args, last + 1, [...program.options, ...command.options])
    : last + 1;
  return first === undefined ? args : [...args.slice(0, first), '--', ...args.slice(first)];
}

/** Where the first word stands that is no option, nor the value of one; undefined where there is none before `--`. */
function firstArgument(args: readonly string[], from: number, options: readonly Option[]): number | undefined {
  for (let index = from; index < args.length; index++) {
    const word = args[index] as string;
    if (word === '--') return undefined;
    if (!word.startsWith('-') || word === '-') return index;
    if (takesNext(word, options)) index++;
  }
  return undefined;
}

/** Whether what follows is the value of this option. */
function takesNext(word: string, options: readonly Option[]): boolean {
  if (word.startsWith('--')) {
    return !word.includes('=') && options.some(({ long, required }) => long === word && required);
  }
  // Of several in one word the last may have a value; what stands behind one that has is its value.
  for (let at = 1; at < word.length; at++) {
    const option = options.find(({ short }) => short === `-${word[at]}`);
    if (option?.required) return at === word.length - 1;
  }
  return false;
}
