// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {EIP712} from "solady/utils/EIP712.sol";
import {ReentrancyGuardTransient} from "solady/utils/ReentrancyGuardTransient.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";
import {IFairValue} from "./interfaces/IFairValue.sol";
import {IFleetOracle} from "./interfaces/IFleetOracle.sol";
import {ISeriesRegistry} from "./interfaces/ISeriesRegistry.sol";
import {ISeriesUpgrader} from "./interfaces/ISeriesUpgrader.sol";
import {ITwabToken} from "./interfaces/ITwabToken.sol";

/// @title SeriesUpgrader
/// @notice Escrow of scrap proceeds, and the only caller that changes a series' hardware. What an upgrade costs depends
/// on no holder, order or batch.
contract SeriesUpgrader is ISeriesUpgrader, EIP712, ReentrancyGuardTransient, AccessManaged {
    using SafeTransferLib for address;

    bytes32 private constant _UPGRADE = keccak256(
        "Upgrade(uint16 series,uint32 nonce,bytes32 retiredRoot,uint16 generation,bytes32 modelHash,bytes32 machineRoot,"
        "uint32 machines,uint128 hashrate,uint32 millijoulePerTerahash,uint40 serviceDate,uint64 opexPerUnit,"
        "uint128 initialValue,uint32 scrapPpm,uint32 decayPpm,uint32 discountPpm,uint32 lifeEpochs,address vendor,"
        "uint128 price,uint128 scrap,bytes32 evidence)"
    );
    uint256 private constant _WAIT = 72 hours;
    uint256 private constant _OPEN = 21 days;
    uint256 private constant _LEAST_SPENT_PERCENT = 98;

    /// @inheritdoc ISeriesUpgrader
    address public immutable registry;
    IFleetOracle public immutable oracle;
    IFairValue public immutable fairValue;
    /// @inheritdoc ISeriesUpgrader
    address public immutable quoteToken;
    /// @inheritdoc ISeriesUpgrader
    mapping(uint16 series => uint32) public proposalCount;
    /// @inheritdoc ISeriesUpgrader
    mapping(uint16 series => uint256) public hardwareCash;
    /// @inheritdoc ISeriesUpgrader
    mapping(address funder => uint256) public refundOf;
    /// @dev three words: `structHash`, `expiresAt:40 | readyAt:40 | funder:160`, `carried:128 | arrived:128`
    mapping(uint16 series => Proposal) private _proposals;

    constructor(address authority, address registry_, address fairValue_, address quoteToken_)
        AccessManaged(authority)
    {
        registry = registry_;
        oracle = IFleetOracle(ISeriesRegistry(registry_).oracle());
        fairValue = IFairValue(fairValue_);
        quoteToken = quoteToken_;
    }

    /* PROPOSALS */

    /// @inheritdoc ISeriesUpgrader
    function propose(Upgrade calldata upgrade, string calldata model) external restricted nonReentrant {
        uint16 series = upgrade.series;
        if (_proposals[series].structHash != 0) revert AlreadyOpen(series);
        uint32 nonce = proposalCount[series];
        if (upgrade.nonce != nonce) revert WrongNonce(nonce, upgrade.nonce);
        if (keccak256(bytes(model)) != upgrade.modelHash) {
            revert WrongModel(upgrade.modelHash, keccak256(bytes(model)));
        }
        if (upgrade.vendor == address(0) || upgrade.vendor == address(this)) revert BadVendor(upgrade.vendor);
        ISeriesRegistry(registry).checkUpgrade(series, upgrade.retiredRoot, _hardware(upgrade));

        uint256 arrived = _take(upgrade.scrap);
        uint256 carried = hardwareCash[series];
        if (carried > type(uint128).max) revert AmountTooLarge(carried);
        uint256 escrow = arrived + carried;
        if (upgrade.price > escrow || uint256(upgrade.price) * 100 < escrow * _LEAST_SPENT_PERCENT) {
            revert PriceOutOfBounds(upgrade.price, escrow);
        }
        uint256 readyAt = block.timestamp + _WAIT;
        hardwareCash[series] = 0;
        proposalCount[series] = nonce + 1;
        _proposals[series] = Proposal(
            _structHash(upgrade),
            msg.sender,
            uint40(readyAt),
            uint40(readyAt + _OPEN),
            uint128(arrived),
            uint128(carried)
        );
        emit UpgradeProposed(series, nonce, msg.sender, upgrade, model, arrived, carried, readyAt);
    }

    /// @inheritdoc ISeriesUpgrader
    function execute(Upgrade calldata upgrade, bytes[] calldata signatures) external nonReentrant {
        uint16 series = upgrade.series;
        Proposal memory open = _proposals[series];
        bytes32 found = _structHash(upgrade);
        if (open.structHash == 0) revert NothingOpen(series);
        if (open.structHash != found) revert WrongProposal(open.structHash, found);
        if (block.timestamp < open.readyAt) revert TooEarly(open.readyAt);
        if (block.timestamp > open.expiresAt) revert Expired(open.expiresAt);
        if (upgrade.serviceDate > block.timestamp) revert NotInService(upgrade.serviceDate);
        oracle.checkQuorum(_hashTypedData(found), signatures);

        uint256 left = uint256(open.arrived) + open.carried - upgrade.price;
        delete _proposals[series];
        hardwareCash[series] += left;
        (uint64 before, uint64 afterwards) =
            ISeriesRegistry(registry).upgrade(series, upgrade.retiredRoot, _hardware(upgrade));
        fairValue.setSchedule(series, _schedule(upgrade));
        emit Upgraded(series, upgrade.nonce, upgrade.vendor, before, afterwards, upgrade.price, left);
        _pay(upgrade.vendor, upgrade.price);
    }

    /// @inheritdoc ISeriesUpgrader
    function cancel(uint16 series) external nonReentrant {
        Proposal memory open = _proposals[series];
        if (open.structHash == 0) revert NothingOpen(series);
        if (msg.sender != open.funder && block.timestamp <= open.expiresAt) revert NotTheFunder(open.funder);
        delete _proposals[series];
        hardwareCash[series] += open.carried;
        refundOf[open.funder] += open.arrived;
        emit UpgradeCancelled(series, proposalCount[series] - 1, open.funder, open.arrived);
    }

    /* MONEY */

    /// @inheritdoc ISeriesUpgrader
    function takeRefund(address to) external nonReentrant returns (uint256 amount) {
        amount = refundOf[msg.sender];
        if (amount == 0) revert NothingToTake(msg.sender);
        refundOf[msg.sender] = 0;
        emit Refunded(msg.sender, to, amount);
        quoteToken.safeTransfer(to, amount);
    }

    /// @inheritdoc ISeriesUpgrader
    function addCash(uint16 series, uint256 amount) external nonReentrant {
        if (ISeriesRegistry(registry).unitOf(series) == address(0)) revert UnknownSeries(series);
        amount = _take(amount);
        hardwareCash[series] += amount;
        emit CashAdded(series, msg.sender, amount);
    }

    /// @dev What arrived counts, whatever the token says it sent.
    function _take(uint256 amount) private returns (uint256 arrived) {
        if (amount == 0) return 0;
        uint256 before = ITwabToken(quoteToken).balanceOf(address(this));
        quoteToken.safeTransferFrom(msg.sender, address(this), amount);
        arrived = ITwabToken(quoteToken).balanceOf(address(this)) - before;
        if (arrived > type(uint128).max) revert AmountTooLarge(arrived);
    }

    /// @dev A token that keeps a part would turn scrap into less hardware than attested: then nothing happens at all.
    function _pay(address vendor, uint256 price) private {
        uint256 before = ITwabToken(quoteToken).balanceOf(vendor);
        quoteToken.safeTransfer(vendor, price);
        uint256 arrived = ITwabToken(quoteToken).balanceOf(vendor) - before;
        if (arrived < price) revert VendorPaidShort(price, arrived);
    }

    /* VIEWS */

    /// @inheritdoc ISeriesUpgrader
    function proposal(uint16 series) external view returns (Proposal memory) {
        return _proposals[series];
    }

    /// @inheritdoc ISeriesUpgrader
    function upgradeDigest(Upgrade calldata upgrade) external view returns (bytes32) {
        return _hashTypedData(_structHash(upgrade));
    }

    function _structHash(Upgrade calldata upgrade) private pure returns (bytes32) {
        return keccak256(abi.encode(_UPGRADE, upgrade));
    }

    function _hardware(Upgrade calldata u) private pure returns (ISeriesRegistry.Hardware memory) {
        return ISeriesRegistry.Hardware({
            generation: u.generation,
            modelHash: u.modelHash,
            machineRoot: u.machineRoot,
            machines: u.machines,
            hashrate: u.hashrate,
            millijoulePerTerahash: u.millijoulePerTerahash,
            serviceDate: u.serviceDate,
            opexPerUnit: u.opexPerUnit
        });
    }

    function _schedule(Upgrade calldata u) private pure returns (IFairValue.Params memory) {
        return IFairValue.Params(u.initialValue, u.scrapPpm, u.decayPpm, u.discountPpm, u.lifeEpochs);
    }

    function _useTransientReentrancyGuardOnlyOnMainnet() internal pure override returns (bool) {
        return false;
    }

    function _domainNameAndVersion() internal pure override returns (string memory, string memory) {
        return ("Liquid Hashrate SeriesUpgrader", "1");
    }
}
