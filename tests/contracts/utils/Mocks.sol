// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IFairValue} from "../../../contracts/interfaces/IFairValue.sol";
import {ISeriesRegistry} from "../../../contracts/interfaces/ISeriesRegistry.sol";
import {TwabToken} from "../../../contracts/tokens/TwabToken.sol";
import {ECDSA} from "solady/utils/ECDSA.sol";

/// @notice A TWAB token without any receiving rule.
contract PlainToken is TwabToken {
    constructor(address minter) TwabToken(minter, "Plain", "PLN") {}

    function _beforeMove(address, address, uint256) internal view override {}
}

/// @notice Fair value that a test sets.
contract FixedValue {
    uint256 public bid;
    uint256 public ask;
    uint32 public epoch;
    bool public isFresh;

    function set(uint256 bid_, uint256 ask_, bool fresh_, uint32 epoch_) external {
        (bid, ask, isFresh, epoch) = (bid_, ask_, fresh_, epoch_);
    }

    function bidBase(uint16 series) external view returns (uint256) {
        if (epoch == 0) revert IFairValue.NoValue(series);
        return bid;
    }

    function askBase(uint16 series) external view returns (uint256) {
        if (epoch == 0) revert IFairValue.NoValue(series);
        return ask;
    }

    function fresh(uint16) external view returns (bool) {
        return epoch != 0 && isFresh;
    }

    function quotes(uint16) external view returns (uint256, uint256, uint256) {
        if (epoch == 0) return (0, 0, 0);
        return (bid, ask, isFresh ? type(uint40).max : 1);
    }

    function valuation(uint16 series) external view returns (IFairValue.Valuation memory v) {
        if (epoch == 0) revert IFairValue.NoValue(series);
        v.epoch = epoch;
    }
}

/// @notice What the ledger asks of the oracle.
contract FixedOracle {
    uint32 public firstEpoch;
    uint32 public lastEpoch;
    mapping(uint32 epoch => bool) public settled;
    mapping(uint32 epoch => uint64) public potOf;

    constructor(uint32 first) {
        firstEpoch = first;
    }

    function report(uint32 epoch, uint64 pot) external {
        (settled[epoch], potOf[epoch], lastEpoch) = (true, pot, epoch);
    }
}

/// @notice The list of wrappers that LP shares ask for.
contract FixedWrappers {
    mapping(address account => bool) public isWrapper;

    function add(address account) external {
        isWrapper[account] = true;
    }
}

/// @notice EIP-1271 wallet of one key.
contract Wallet {
    address public owner;

    constructor(address owner_) {
        owner = owner_;
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        return ECDSA.tryRecoverCalldata(hash, signature) == owner ? this.isValidSignature.selector : bytes4(0xffffffff);
    }

    function call(address to, bytes calldata data) external returns (bytes memory) {
        (bool ok, bytes memory out) = to.call(data);
        require(ok, "call failed");
        return out;
    }
}

/// @notice Refuses everyone, or reverts.
contract HostilePolicy {
    bool public reverts;

    function set(bool reverts_) external {
        reverts = reverts_;
    }

    function canReceive(address, address, uint256) external view returns (bool) {
        require(!reverts, "hostile");
        return false;
    }
}

/// @notice What fair value, sale and pool ask of registry, oracle, ledger and court: one series, reports as told.
contract FixedSeries {
    address public immutable unit;
    mapping(uint32 epoch => bytes32) public reportHash;
    bytes32 public lastReportHash;
    bytes32 public lastValuationHash;
    mapping(bytes32 report => bytes32) public lastValuationAfter;
    uint16 public constant seriesCount = 1;
    bool public constant bonded = true;

    constructor(address unit_) {
        unit = unit_;
    }

    function report(uint32 epoch, bytes32 hash) external {
        reportHash[epoch] = hash;
        lastReportHash = hash;
    }

    function unitOf(uint16) external view returns (address) {
        return unit;
    }

    function isWrapper(address) external pure returns (bool) {
        return false;
    }

    /// @dev In service since epoch zero's first second, one H/s a unit, no opex.
    function series(uint16) external view returns (ISeriesRegistry.Series memory s) {
        s.unit = unit;
        s.hashratePerUnit = 1;
        s.serviceDate = uint40(block.timestamp);
    }
}
