/** Glibc takes longer ones; a line of a megabyte is no user. */
const LONGEST_LINE = 65_536;
/** 2³² − 1 means "no id" to the kernel. @see setreuid(2) */
const LARGEST_ID = 4_294_967_294;

export interface UserEntry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

export interface GroupEntry {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

/** Lines that are odd are left out. @see passwd(5) */
export function readUsers(text: string): UserEntry[] {
  return linesOf(text).flatMap(([name = '', , uid, gid, , home = '']) => {
    const numbers = [idOf(uid), idOf(gid)] as const;
    if (name === '' || numbers[0] === undefined || numbers[1] === undefined) return [];
    return [{ name, uid: numbers[0], gid: numbers[1], home }];
  });
}

/** Lines that are odd are left out. @see group(5) */
export function readGroups(text: string): GroupEntry[] {
  return linesOf(text).flatMap(([name = '', , number, members = '']) => {
    const gid = idOf(number);
    if (name === '' || gid === undefined) return [];
    return [{ name, gid, members: members.split(',').filter((member) => member !== '') }];
  });
}

/** @returns undefined for what is no number, or one that no user or group can have */
export function idOf(text: string | undefined): number | undefined {
  if (text === undefined || !/^[0-9]{1,10}$/.test(text)) return undefined;
  const number = Number(text);
  return number <= LARGEST_ID ? number : undefined;
}

function linesOf(text: string): string[][] {
  return text
    .split('\n')
    .filter((line) => line.length <= LONGEST_LINE && !line.startsWith('#') && !line.includes('\0'))
    .map((line) => line.replace(/\r$/, '').split(':'));
}
