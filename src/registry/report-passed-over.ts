import type { ProvisionerEmitter, ProvisionerEvents } from '../events.js';
import type { PassedOver } from './blobs/registry-blob.js';

/** That a host failed is survived, because another one gave the same bytes; whoever runs it will want to know. */
export function reportPassedOver(events: ProvisionerEmitter, host: PassedOver): void {
  events.emit('warning', passedOverWarning(host));
}

export function passedOverWarning({ host, code, message }: PassedOver): ProvisionerEvents['warning'][0] {
  return {
    code: 'HOST_PASSED_OVER',
    message: `another host was asked instead of ${host}: ${message}`,
    details: { host, reason: code },
  };
}
