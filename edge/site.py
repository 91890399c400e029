"""One site put together from its settings: the only place of this side where things are wired."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from edge.datasets.open_data import RememberedData, open_data, parse_spec
from edge.found_work import founded_teacher
from edge.site_home import SiteHome, write_document
from edge.teach.borrowing import Loan, Transfer
from edge.teach.lender import open_lender
from edge.teach.progress import shown_progress
from edge.teach.teach import Teacher, teach
from transplant.errors import InvalidSettings
from transplant.nets.allocator import keep_freed_memory
from transplant.nets.placement import CPU, resolved_device
from transplant.rpc.channel import Kit, load_kit
from transplant.rpc.client import CentralClient
from transplant.types import Role, Task

if TYPE_CHECKING:
    from edge.settings import EdgeSettings


@dataclass(frozen=True)
class Site:
    """The parts that commands work with, each made when it is first needed."""

    settings: EdgeSettings

    @cached_property
    def home(self) -> SiteHome:
        """Return the site's folders; the resolved settings are written there."""
        home = SiteHome(self.settings.home)
        write_document(home.root / "settings.json", self.settings.model_dump(mode="json"))
        return home

    @cached_property
    def category(self) -> str:
        """Return the category that the site teaches."""
        return self.settings.required_category()

    @cached_property
    def kit(self) -> Kit:
        """Return the site's identity.

        Raises:
            CertificateInvalid: if the kit is incomplete, expired or not a site's.
        """
        kit = load_kit(self.settings.required_kit())
        if kit.role is not Role.SITE:
            raise InvalidSettings(f"--kit {self.settings.kit} is the kit of a {kit.role}, not of a site")
        return kit

    @cached_property
    def name(self) -> str:
        """Return the site's name: the certificate's, or `--site` where there is no kit yet."""
        if self.settings.kit is not None:
            return self.kit.name
        if self.settings.site is None:
            raise InvalidSettings("give --kit (whose certificate names the site) or --site")
        return self.settings.site

    @cached_property
    def data(self) -> RememberedData:
        """Return the site's data."""
        seed = self.settings.seed if self.settings.data_seed is None else self.settings.data_seed
        tasks = self.settings.tasks
        return open_data(
            parse_spec(self.settings.data),
            self.category,
            home=self.home.root,
            data_root=self.settings.data_root,
            seed=seed,
            image_px=self.settings.image_px,
            with_masks=(Task.SEGMENTATION in tasks) if tasks else None,
        )

    @cached_property
    def device(self) -> torch.device:
        """Return what training, statistics, answers and figures are computed on.

        Raises:
            InvalidSettings: if a GPU is demanded and this process sees none.
        """
        return resolved_device(self.settings.device)

    def client(self) -> CentralClient:
        """Open a connection to the center."""
        return CentralClient(self.kit, self.settings.center)

    @cached_property
    def loan(self) -> Loan | None:
        """Return what the teacher borrows, its lender opened."""
        text = self.settings.required_lender()
        if text is None:
            return None
        known = self.settings.kit is not None or self.settings.site is not None
        transfer, asking = self.settings.transfer, self.name if known else None
        answers = transfer is Transfer.LWF
        lender = open_lender(text, asking, self.home, self.client, for_answers=answers)
        return Loan(transfer, lender, self.settings.retained)

    def teach(self, *, restart: bool = False) -> Teacher:
        """Train the teacher net, or read it back where it is trained; see `edge.teach.teach`.

        A site that founds nets with others takes the one that it founded.
        """
        if self.settings.found:
            founded = founded_teacher(self)
            if founded is not None:
                return founded
        if self.settings.threads:
            torch.set_num_threads(self.settings.threads)
        keep_freed_memory()
        device = self._training_device()
        with shown_progress(self.category, self.settings.resolved_epochs) as progress:
            return teach(
                self.data,
                self.settings.arch,
                self.settings.recipe,
                self.home.teacher,
                tasks=self.settings.tasks or None,
                restart=restart,
                progress=progress,
                loan=self.loan,
                device=device,
            )

    def _training_device(self) -> torch.device:
        """Return the device, and the CPU for what is computed there only, unless a GPU was demanded."""
        penalised = self.settings.transfer not in (Transfer.NONE, Transfer.LAYER)
        return CPU if penalised and self.settings.device == "auto" else self.device
