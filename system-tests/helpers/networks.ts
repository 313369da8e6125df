import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';

/** What this machine has of networks, as whoever looks from outside sees it. */

/** The rules of iptables in which a text stands. */
export function rulesWith(text: string): string[] {
  const tables = execFileSync('iptables-save', { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  return tables.split('\n').filter((line) => line.startsWith('-A') && line.includes(text));
}

/** Interfaces of this machine whose names begin so. */
export const interfacesNamed = (prefix: string): string[] =>
  readdirSync('/sys/class/net').filter((name) => name.startsWith(prefix));

export interface Spoken {
  /** What came back; empty when nothing did. */
  readonly answer: string;
  readonly status: number | null;
}

/** Runs a command in a network namespace. @param path of that; undefined for this machine's own */
export function inNamespace(path: string | undefined, ...command: readonly string[]): Spoken {
  const [program = '', ...args] = path === undefined ? command : ['nsenter', `--net=${path}`, ...command];
  const { stdout, status } = spawnSync(program, args, { encoding: 'utf8', timeout: 10_000 });
  return { answer: stdout, status };
}

/** A shell's line that prints what a server of `SERVER` says, if it is reached within two seconds. Busybox's own names need a C library that a static program has not. */
export const ask = (address: string, port: number): string => `nc -w 2 ${address} ${port} </dev/null 2>/dev/null`;

/** A shell's line that answers whoever connects with a text, for ever. @param port of the container */
export const SERVER = (text: string, port: number): string => `nc -ll -p ${port} -e echo ${text}`;
