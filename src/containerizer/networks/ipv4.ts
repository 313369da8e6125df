/** An IPv4 address as the number that its four bytes are. */
export type Ipv4 = number;

/** The addresses that begin with the same bits. */
export interface Ipv4Range {
  readonly first: Ipv4;
  /** Bits, 0 to 32. */
  readonly prefix: number;
}

const BITS = 32;

/** @returns undefined for what is no address with four decimal parts */
export function parseIpv4(text: string): Ipv4 | undefined {
  const parts = text.split('.');
  if (parts.length !== 4 || !parts.every((part) => /^(?:0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255))
    return undefined;
  return parts.reduce((sum, part) => sum * 256 + Number(part), 0);
}

export function printIpv4(address: Ipv4): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join('.');
}

/** @param text such as `10.1.0.0/16` @returns undefined for what is none, or has bits set behind its prefix */
export function parseRange(text: string): Ipv4Range | undefined {
  const [, address = '', bits = ''] = /^([\d.]+)\/(\d{1,2})$/.exec(text) ?? [];
  const first = parseIpv4(address);
  const prefix = Number(bits);
  if (first === undefined || bits === '' || prefix > BITS || first % sizeOf({ first, prefix }) !== 0) return undefined;
  return { first, prefix };
}

export const printRange = ({ first, prefix }: Ipv4Range): string => `${printIpv4(first)}/${prefix}`;
export const sizeOf = ({ prefix }: Ipv4Range): number => 2 ** (BITS - prefix);
export const isIn = (address: Ipv4, range: Ipv4Range): boolean =>
  address >= range.first && address < range.first + sizeOf(range);
export const overlap = (one: Ipv4Range, other: Ipv4Range): boolean => isIn(one.first, other) || isIn(other.first, one);
