// Wallets that the browser offers (EIP-6963), found without loading any library.
import { useEffect, useState } from 'react';

/** An EIP-1193 provider: all that is asked of it here is `request`. */
export interface Eip1193 {
  request(call: { method: string; params?: unknown[] | Record<string, unknown> }): Promise<unknown>;
}

export interface Wallet {
  id: string;
  name: string;
  provider: Eip1193;
}

interface Announcement extends Event {
  detail: { info: { uuid: string; name: string }; provider: Eip1193 };
}

/** Every wallet that announced itself so far. */
export function useWallets(): Wallet[] {
  const [wallets, setWallets] = useState<Wallet[]>([]);
  useEffect(() => {
    const hear = (event: Event) => {
      const { info, provider } = (event as Announcement).detail;
      setWallets((known) =>
        known.some((wallet) => wallet.id === info.uuid) ? known : [...known, { id: info.uuid, name: info.name, provider }],
      );
    };
    window.addEventListener('eip6963:announceProvider', hear);
    window.dispatchEvent(new Event('eip6963:requestProvider'));
    return () => window.removeEventListener('eip6963:announceProvider', hear);
  }, []);
  return wallets;
}
