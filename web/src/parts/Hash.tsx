// A hash or address, shortened for the eye and whole for the clipboard.
import { useState } from 'react';

import { short } from '../lib/format';

export function Hash({ text, label, ends = 6 }: { text: string; label: string; ends?: number }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setCopied(true);
      setTimeout(() => setCopied(false), 1_500);
    } catch {
      setCopied(false);
    }
  };
  return (
    <button type="button" className="hash" title={`${text}\nCopy`} aria-label={`Copy ${label} ${text}`} onClick={copy}>
      {copied ? 'copied' : short(text, ends)}
    </button>
  );
}
