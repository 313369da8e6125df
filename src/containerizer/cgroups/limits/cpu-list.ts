/** More processors than any kernel is built for. @see Linux, Kconfig NR_CPUS */
const MOST_PROCESSORS = 8192;

/**
 * Processors as the kernel lists them: `0-2,7`. Its other spelling, with strides (`0-6:1/2`), is not read. @see cpuset(7), "List format"
 * @returns ascending, each once; undefined for a text that is no such list, and for an empty one
 */
export function parseCpuList(text: string): readonly number[] | undefined {
  const found = new Set<number>();
  for (const part of text.trim().split(',')) {
    const [, first, last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part) ?? [];
    if (first === undefined) return undefined;
    const [from, to] = [Number(first), Number(last)];
    if (from > to || to >= MOST_PROCESSORS) return undefined;
    for (let processor = from; processor <= to; processor++) found.add(processor);
  }
  return [...found].sort((one, other) => one - other);
}

/** The other way round: ranges where there are some. @param processors ascending, each once */
export function printCpuList(processors: readonly number[]): string {
  const ranges: [number, number][] = [];
  for (const processor of processors) {
    const last = ranges.at(-1);
    if (last !== undefined && last[1] + 1 === processor) last[1] = processor;
    else ranges.push([processor, processor]);
  }
  return ranges.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(',');
}
