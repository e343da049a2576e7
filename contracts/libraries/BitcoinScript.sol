// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title BitcoinScript
/// @notice The five output templates that accounts are paid to, and the marker of a payout transaction.
library BitcoinScript {
    uint16 internal constant DUST_P2PKH = 546;
    uint16 internal constant DUST_P2SH = 540;
    uint16 internal constant DUST_P2WPKH = 294;
    uint16 internal constant DUST_P2WSH = 330;
    uint16 internal constant DUST_P2TR = 330;

    /// @notice Dust limit of the script's kind in sats; zero for a script that is none of the five templates.
    function dust(bytes calldata script) internal pure returns (uint16) {
        uint256 length = script.length;
        if (length == 22 && bytes2(script) == 0x0014) return DUST_P2WPKH;
        if (length == 34 && bytes2(script) == 0x0020) return DUST_P2WSH;
        if (length == 34 && bytes2(script) == 0x5120) return DUST_P2TR;
        if (length == 23 && bytes2(script) == 0xa914 && script[22] == 0x87) return DUST_P2SH;
        if (length == 25 && bytes3(script) == 0x76a914 && bytes2(script[23:]) == 0x88ac) return DUST_P2PKH;
        return 0;
    }

    /// @notice `OP_RETURN push40 "LHR1" epoch:4 batch:2 rootHash[0..30]`, 42 bytes.
    function marker(uint32 epoch, uint16 batch, bytes32 rootHash) internal pure returns (bytes memory) {
        return abi.encodePacked(hex"6a28", "LHR1", epoch, batch, bytes30(rootHash));
    }
}
