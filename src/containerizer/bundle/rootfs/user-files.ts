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

/** One after the other, so that whoever has found what he looks for reads no further. Lines that are odd are left out. @see passwd(5) */
export function* usersIn(text: string): Generator<UserEntry> {
  for (const [name = '', , uid, gid, , home = ''] of linesOf(text)) {
    const numbers = [idOf(uid), idOf(gid)] as const;
    if (name === '' || numbers[0] === undefined || numbers[1] === undefined) continue;
    yield { name, uid: numbers[0], gid: numbers[1], home };
  }
}

/** As `usersIn`. @see group(5) */
export function* groupsIn(text: string): Generator<GroupEntry> {
  for (const [name = '', , number, members = ''] of linesOf(text)) {
    const gid = idOf(number);
    if (name === '' || gid === undefined) continue;
    yield { name, gid, members: members.split(',').filter((member) => member !== '') };
  }
}

/** @returns undefined for what is no number, or one that no user or group can have */
export function idOf(text: string | undefined): number | undefined {
  if (text === undefined || !/^[0-9]{1,10}$/.test(text)) return undefined;
  const number = Number(text);
  return number <= LARGEST_ID ? number : undefined;
}

function* linesOf(text: string): Generator<string[]> {
  for (let start = 0, end = 0; start < text.length; start = end + 1) {
    const next = text.indexOf('\n', start);
    end = next < 0 ? text.length : next;
    if (end === start || end - start > LONGEST_LINE || text.startsWith('#', start)) continue;
    const line = text.slice(start, end);
    if (!line.includes('\0')) yield line.replace(/\r$/, '').split(':');
  }
}
