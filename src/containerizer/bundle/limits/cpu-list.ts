/** More processors than any kernel is built for. */
const MOST = 65_536;

/** `0-2,7` as numbers, in order, each once. @returns undefined for what is no such list, or an empty one @see cpuset(7), "List format" */
export function parseCpuList(text: string): number[] | undefined {
  const numbers = new Set<number>();
  for (const part of text.split(',')) {
    const [, from = '', to = from] = /^([0-9]{1,5})(?:-([0-9]{1,5}))?$/.exec(part) ?? [];
    if (from === '' || Number(from) > Number(to) || Number(to) >= MOST) return undefined;
    for (let number = Number(from); number <= Number(to); number++) numbers.add(number);
  }
  return [...numbers].sort((one, other) => one - other);
}
