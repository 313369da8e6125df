import { existsSync, readdirSync, writeFileSync } from 'node:fs';

/** How many are connected to a bridge of this machine; undefined where there is no such bridge. */
export function connectedTo(bridge: string): number | undefined {
  try {
    return readdirSync(`/sys/class/net/${bridge}/brif`).length;
  } catch {
    return undefined;
  }
}

/**
 * What comes from a bridge is not handed on to anywhere, whatever addresses and routes somebody has there: the kernel looks at it before any rule. To be said again when something was connected: a switch for the
 * whole machine resets it.
 * @throws like Node's `fs` @see ip-sysctl, "conf/interface/forwarding"
 */
export function closeBridge(bridge: string): void {
  writeFileSync(`/proc/sys/net/ipv4/conf/${bridge}/forwarding`, '0');
}

/** Networks have IPv4 alone: by the other one there would be ways that nobody has thought of. @throws like Node's `fs` */
export function withoutIpv6(bridge: string): void {
  const file = `/proc/sys/net/ipv6/conf/${bridge}/disable_ipv6`;
  if (existsSync(file)) writeFileSync(file, '1');
}
