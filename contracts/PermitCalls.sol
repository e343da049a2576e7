// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ReentrancyGuardTransient} from "solady/utils/ReentrancyGuardTransient.sol";
import {Multicallable} from "solady/utils/Multicallable.sol";

/// @title PermitCalls
/// @notice EIP-2612 permit and the call that needs it in one transaction, by `multicall`.
abstract contract PermitCalls is Multicallable, ReentrancyGuardTransient {
    /// @dev The permit's spender is always this contract, which moves tokens only as a signed order or its caller says:
    /// so anyone may bring anyone's permit, and the failure of one that was used before harms nobody.
    function permit(address token, address owner, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        public
        virtual
        nonReentrant
    {
        bytes memory data = abi.encodeCall(IPermit.permit, (owner, address(this), value, deadline, v, r, s));
        assembly ("memory-safe") {
            // the answer is neither needed nor copied
            pop(call(gas(), token, 0, add(data, 0x20), mload(data), 0, 0))
        }
    }

    function _useTransientReentrancyGuardOnlyOnMainnet() internal pure override returns (bool) {
        return false;
    }
}

interface IPermit {
    function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external;
}
